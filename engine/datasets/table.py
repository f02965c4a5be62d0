"""The table of built-in data sets, and what torchvision has beside them."""

from engine.datasets.photos import PHOTOS
from engine.datasets.records import Record
from engine.datasets.small import SMALL

RECORDS: dict[str, Record] = {record.name: record for record in (*SMALL, *PHOTOS)}
"""Every built-in data set by the name users write."""
