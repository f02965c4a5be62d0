"""The table of data sets: all that are built in, and what a user's own may be."""

from engine.datasets.photos import PHOTOS
from engine.datasets.records import OwnBoxes, OwnFolders, OwnShards, Record
from engine.datasets.small import SMALL

OWN: tuple[Record, ...] = (
    Record(
        name="imagefolder",
        title="Your own images: a folder per class",
        classes=None,
        channels=None,
        size=None,
        images=None,
        source=OwnFolders(),
        files=(),
        torchvision="ImageFolder",
        note="Name the folder as data.root: train/CLASS/, validation/CLASS/ and test/CLASS/, or just CLASS/.",
    ),
    Record(
        name="webdataset",
        title="Your own images in tar files, each with its class",
        classes=None,
        channels=None,
        size=None,
        images=None,
        source=OwnShards(),
        files=(),
        note="Name the folder as data.root: train-000000.tar, …, val-000000.tar, with 0001.jpg and 0001.cls inside.",
    ),
    Record(
        name="yolo",
        title="Your own images with boxes: a YOLO data.yaml",
        classes=None,
        channels=None,
        size=None,
        images=None,
        source=OwnBoxes(),
        files=(),
        note="Name the data.yaml as data.root.",
    ),
)

RECORDS: dict[str, Record] = {record.name: record for record in (*SMALL, *PHOTOS, *OWN)}
"""Every data set by the name users write."""
