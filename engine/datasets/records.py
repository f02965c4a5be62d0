"""What is known about a data set before its files are read. Plain data: no torch, no numpy."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from engine.datasets.layout import own_splits
from engine.datasets.shards import own_shards

Keywords = Mapping[str, str | bool]
"""Arguments of a torchvision data set class for one split."""

Task = Literal["classification", "detection"]
"""What networks can be trained for on a set."""

Layout = Literal["flat", "leaf", "deep"]
"""Where the images of a class lie: directly in `CLASS/`; in any folder that directly holds images, its
relative path being the class; or anywhere below `CLASS/`."""


@dataclass(frozen=True)
class Counts:
    """Labelled images per split as published; 0 where the set has no such split."""

    train: int
    validation: int = 0
    test: int = 0

    @property
    def total(self) -> int:
        return self.train + self.validation + self.test


class Kind:
    """How a set is published; each kind has its reader in `engine.compute.data.read`."""

    task: ClassVar[Task] = "classification"
    """What networks can be trained for on it."""
    bundled: ClassVar[bool] = False
    """Whether its files come with scikit-learn, so that it is looked for nowhere else."""
    own: ClassVar[bool] = False
    """Whether the images are the user's own, where `data.root` says."""
    packed: ClassVar[bool] = False
    """Whether each of its files may have `.gz` behind its name."""

    @property
    def arrays(self) -> bool:
        """Whether its images are arrays of pixels, and none has to be decoded."""
        return False

    def brought(self, root: Path) -> Collection[str]:
        """The splits that the user's own images at `root` come in; of others their record's counts tell."""
        return ()


@dataclass(frozen=True)
class Bundled(Kind):
    """The digits inside scikit-learn: a gzipped text table of 64 pixels (0 to 16) and a label per row."""

    bundled = True
    arrays = True


@dataclass(frozen=True)
class Scenes(Kind):
    """The same digits placed on canvases by us, with a box around each: a set for detection."""

    task = "detection"
    bundled = True
    arrays = True


@dataclass(frozen=True)
class Idx(Kind):
    """Four IDX files, each plain or with `.gz`, in a folder of their own or in torchvision's layout."""

    packed = True
    arrays = True

    folder: str
    train: tuple[str, str]
    test: tuple[str, str]
    first_label: int = 0
    transposed: bool = False


@dataclass(frozen=True)
class Folders(Kind):
    """A folder per class; `validation` and `test` where the set is published with them."""

    train: str
    validation: str | None = None
    test: str | None = None
    layout: Layout = "flat"
    suffixes: tuple[str, ...] = (".jpg", ".jpeg", ".png")
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Vision(Kind):
    """Read by torchvision's class: its arguments per split, and the attributes that hold what it read.

    `pixels` names the attribute with all images as one array, in the order `axes`; without it, images are
    decoded one by one. `labels` names the attribute with the labels, or with (…, label) pairs.
    """

    train: Keywords
    validation: Keywords | None = None
    test: Keywords | None = None
    labels: str = "_labels"
    pixels: str | None = None
    axes: Literal["NHW", "NHWC", "NCHW"] = "NHWC"
    first_label: int = 0
    needs: str | None = None

    @property
    def arrays(self) -> bool:
        return self.pixels is not None


@dataclass(frozen=True)
class OwnFolders(Kind):
    """The user's own images: `train/`, `validation/` and `test/`, or class folders that are split by us."""

    own = True

    def brought(self, root: Path) -> Collection[str]:
        return own_splits(root)


@dataclass(frozen=True)
class OwnBoxes(Kind):
    """The user's own images with boxes: a YOLO `data.yaml` that lists them, which `data.root` names."""

    task = "detection"
    own = True

    def brought(self, root: Path) -> Collection[str]:
        return ("train", "validation", "test")


@dataclass(frozen=True)
class OwnShards(Kind):
    """The user's own images in tar files, each with its class beside it: a WebDataset."""

    own = True

    def brought(self, root: Path) -> Collection[str]:
        return own_shards(root)


Source = Bundled | Scenes | Idx | Folders | Vision | OwnFolders | OwnBoxes | OwnShards


@dataclass(frozen=True)
class Record:
    """One data set. `size` is the height and width in pixels, None where images differ.

    `files` lie below the set's folder, show that it is there, and are all that its tensors depend on.
    `downloads` are the calls of torchvision's class that fetch it; none where that is not possible, and
    `note` then says what to do. `download_mb` is what comes over the network, in 10⁶ bytes.
    """

    name: str
    title: str
    classes: int | None
    channels: int | None
    size: int | None
    images: Counts | None
    source: Source
    files: tuple[str, ...]
    torchvision: str = ""
    downloads: tuple[Keywords, ...] = ()
    download_mb: int | None = None
    note: str = ""
    class_names: tuple[str, ...] = field(default=(), repr=False)

    @property
    def task(self) -> Task:
        """What networks can be trained for on it."""
        return self.source.task
