"""Sets that torchvision's classes read: never downloaded here, and never read for more than they hold."""

import contextlib
import importlib
import pickle
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import engine.compute.data.opening  # noqa: F401 - bounds what torchvision's readers open
from engine.compute.data.images import Decoded, Images, Pixels
from engine.compute.data.pixels import Fit
from engine.compute.data.source import LabelledImages, Source
from engine.compute.numerics.aligned import from_array
from engine.datasets.records import Keywords, Record, Vision
from engine.errors import SecateurError
from engine.params.preset import Data

DAMAGED = (
    RuntimeError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    pickle.UnpicklingError,
    zlib.error,
)
"""What torchvision's readers raise for missing files, wrong checksums and damaged contents."""

PATHS = ("_image_files", "_images", "_samples", "imgs", "data")
"""Attributes in which torchvision's classes keep the paths of images."""


def read_vision(params: Data, root: Path, record: Record, source: Vision) -> Source:
    """The splits of a set as torchvision reads them from `root`.

    Raises SecateurError when a package is missing, or torchvision refuses the files.
    """
    if source.needs is not None:
        _require(source.needs, record)
    train = _open(root, record, source.train)
    others = [
        None if split is None else _open(root, record, split) for split in (source.validation, source.test)
    ]
    parts = [None if data is None else _part(data, params, record, source) for data in (train, *others)]
    assert parts[0] is not None
    return Source(parts[0], parts[1], parts[2], record.class_names or _class_names(train))


def _open(root: Path, record: Record, split: Keywords) -> Any:
    import torchvision

    kind: Callable[..., Any] = getattr(torchvision.datasets, record.torchvision)
    arguments: dict[str, Any] = dict(split)
    if record.downloads:
        arguments["download"] = False
    try:
        # Some of torchvision's classes print.
        with contextlib.redirect_stdout(sys.stderr):
            return kind(root, **arguments)
    except DAMAGED as error:
        raise SecateurError(
            f"The files of {record.name} in {root} can't be read",
            f"torchvision's {record.torchvision}: {error or type(error).__name__}",
            f"Delete them, then: secateur data fetch {record.name}" if record.downloads else record.note,
        ) from error


def _part(data: Any, params: Data, record: Record, source: Vision) -> LabelledImages:
    labels = _labels(data, record, source) - source.first_label
    if source.pixels is not None:
        return LabelledImages(_pixels(getattr(data, source.pixels), source, params), labels)
    return LabelledImages(Decoded(Opened(data, record.name), Fit.of(params, record.channels)), labels)


def _pixels(values: Any, source: Vision, params: Data) -> Images:
    pixels = from_array(np.ascontiguousarray(values))
    if source.axes == "NHWC":
        pixels = pixels.permute(0, 3, 1, 2).contiguous()
    elif source.axes == "NHW":
        pixels = pixels.unsqueeze(1)
    return Pixels(pixels, Fit.of(params))


class Opened:
    """The images of one of torchvision's sets, as its class opens them."""

    def __init__(self, data: Any, name: str) -> None:
        self._data = data
        self._name = name
        lists = (getattr(data, attribute, None) for attribute in PATHS)
        self._paths = next((paths for paths in lists if isinstance(paths, list)), None)

    def __len__(self) -> int:
        return len(self._data)

    def open(self, number: int) -> Image.Image:
        image: Image.Image = self._data[number][0]
        return image

    def place(self, number: int) -> str:
        path = self._paths[number] if self._paths else None
        path = path[0] if isinstance(path, tuple) else path
        return str(path) if isinstance(path, str | Path) else f"Image {number} of {self._name}"


def _labels(data: Any, record: Record, source: Vision) -> Tensor:
    """The labels, int64 (N,), without decoding an image."""
    if source.labels == "h5":
        return _h5_labels(data)
    held: Sequence[Any] = getattr(data, source.labels)
    labels = [label[-1] if isinstance(label, tuple) else label for label in held]
    if any(label is None for label in labels):
        raise SecateurError(
            f"{record.name} has images without labels", "They are published without.", record.note
        )
    return torch.tensor(np.asarray(labels, dtype=np.int64))


def _h5_labels(data: Any) -> Tensor:
    """PatchCamelyon's labels lie in a file of shape (N, 1, 1, 1)."""
    file = data._base_folder / data._FILES[data._split]["targets"][0]
    with data.h5py.File(file) as table:
        return torch.tensor(np.asarray(table["y"]).astype(np.int64).reshape(-1))


def _class_names(data: Any) -> tuple[str, ...]:
    names = getattr(data, "classes", None) or getattr(data, "class_to_idx", None) or ()
    return tuple(str(name) for name in names)


def _require(package: str, record: Record) -> None:
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise SecateurError(
            f"Data set {record.name} needs the package {package}", str(error), f"pip install {package}"
        ) from error
