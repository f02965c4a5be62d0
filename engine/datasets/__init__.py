"""Which data sets there are, where they lie, and what identifies their contents. No torch, no numpy."""

from engine.datasets.fingerprint import LOADER_VERSION, effective, fingerprint
from engine.datasets.locate import Location, data_folder, is_user_function, locate, record_of
from engine.datasets.records import Record
from engine.datasets.table import RECORDS

__all__ = [
    "LOADER_VERSION",
    "RECORDS",
    "Location",
    "Record",
    "data_folder",
    "effective",
    "fingerprint",
    "is_user_function",
    "locate",
    "record_of",
]
