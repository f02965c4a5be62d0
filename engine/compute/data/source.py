"""What a reader gives: images with labels, split as their source splits them."""

from dataclasses import dataclass

from torch import Tensor

from engine.compute.data.images import Images
from engine.datasets.records import Task
from engine.errors import SecateurError

PLENTY = 1000
"""Classes that even a handful of images may be of."""


@dataclass(frozen=True)
class LabelledImages:
    """A split as published: images and labels, int64 (N,), or boxes, float32 (N, M, 5), as in `Split`."""

    images: Images
    labels: Tensor


@dataclass(frozen=True)
class Source:
    """The splits that a set brings, and the names of its classes where it has any.

    Detection sets bring all three splits and the names; `notice` is worth telling with any score, `notices` is what was
    mended or found unusual in reading them.
    """

    train: LabelledImages
    validation: LabelledImages | None = None
    test: LabelledImages | None = None
    class_names: tuple[str, ...] = ()
    task: Task = "classification"
    notice: str = ""
    notices: tuple[str, ...] = ()
    left_out: int = 0
    """Images that can't be read and are not among these."""


def check_numbers(highest: int, images: int, place: str) -> None:
    """Raises SecateurError for labels that count something else: more classes than there are training images."""
    if highest >= max(PLENTY, images):
        raise SecateurError(
            f"Labels of {place} are no numbers of classes",
            f"The highest is {highest}, and there are {images} training images.",
            "Number the classes from 0 on, without gaps.",
        )
