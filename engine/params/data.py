"""The data section of a preset: which images, how they are split, and how they come to the network."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from engine.params.base import Clash, Params, Several, param
from engine.params.catalog import MODELS

LARGEST_SEED = 2**31 - 1
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
"""What every random generator in use accepts."""
Interpolation = Literal["nearest", "bilinear", "bicubic"]
Statistics = Literal["data", "imagenet", "half"]
"""By name: of the training images; of ImageNet (torchvision's weights); 0.5 for both (values from −1 to 1)."""
Values = Annotated[tuple[float, ...], Several]
IMAGENET = "imagenet"
"""The preprocessing of torchvision's classic recipe: 256 pixels, of which the middle 224, ImageNet's statistics."""


class Data(Params):
    """The images: training, validation and test splits."""

    name: str = param(...)
    """A built-in set (`secateur data list`), `imagefolder`, `webdataset` (tar files), `yolo` (boxes), or your own:
    `path/file.py:function`."""
    root: str | None = None
    """Folder that holds the files, or the data.yaml of `yolo`; by default the places that `secateur data list`
    shows."""
    size: int | None = param(None, ge=4, le=4096, unit="pixels")
    """Height and width to bring images to; by default as they are stored, and 640 for `yolo`, whose images
    keep their shape (letterbox)."""
    width: int | None = param(None, ge=4, le=4096, unit="pixels")
    """Width, where it is not the height that `size` gives."""
    resize: int | None = param(None, ge=4, le=8192, unit="pixels")
    """Length that the shorter side is resized to, before the middle of `size` is cut out; by default images are
    resized to `size` without keeping their shape."""
    interpolation: Interpolation | None = None
    """How images are resized, antialiased but for nearest; by default bilinear."""
    channels: int | None = param(None, ge=1, le=1024)
    """Colour channels to convert images to, 1 or 3; others must be what is stored (4: with transparency). By
    default as stored, and 3 for `yolo`."""
    preprocess: str | None = None
    """Size, resize, interpolation, mean and std that weights were trained with, where these are not given here:
    `imagenet`, or those of torchvision's pretrained weights by the name of the model, `torchvision/resnet50`."""
    mean: Values | Statistics | None = None
    """What is subtracted, of each channel or of all, where 0 is black and 1 is white; or `data`: of the training
    images, `imagenet`, `half`. By default `data`, and 0 for detectors."""
    std: Values | Statistics | None = None
    """Deviation that is divided by, as `mean`; by default that of the same name, and 1 for detectors."""
    range: Annotated[tuple[float, float], Several] | None = None
    """Stored values that are black and white; by default 0 and 255 for 8 bits, otherwise the least and the largest
    of the training images, and 0 and 1 for arrays of floats within."""
    validation: float = param(0.1, gt=0, lt=0.9)
    """Share of the training images set aside for choices, drawn per class; unused if the set brings its
    own."""
    test: float = param(0.2, gt=0, lt=0.9)
    """Share of the images set aside for the final score; unused if the set brings its own test split."""
    limit: int | None = param(None, ge=16, unit="images")
    """Use only this many training images (per-class share kept), to try things quickly."""
    limit_validation: int | None = param(None, ge=16, unit="images")
    """Use only this many validation images (per-class share kept)."""
    limit_test: int | None = param(None, ge=16, unit="images")
    """Use only this many test images (per-class share kept): scores get coarser."""
    skip_damaged: bool = False
    """Whether images that can't be read are left out (and counted) instead of refused."""
    split_seed: Seed = 0
    """Seed of the random splits; the same for all trials, so that their scores compare."""
    workers: int | None = param(None, ge=0, le=256, unit="processes")
    """Processes that decode the images of a set too large for memory, 0 for none; by default as many as the trial
    has threads. The same batches come out in any case."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        known = (IMAGENET, *(name for name in MODELS if name.startswith("torchvision/")))
        if self.preprocess is not None and self.preprocess not in known:
            raise Clash(
                "preprocess", f"given {self.preprocess!r}", "imagenet, or torchvision/ and a model's name"
            )
        if self.width is not None and self.size is None:
            raise Clash("width", "given without size", "size, the height, beside it")
        if self.resize is not None and self.size is None and self.preprocess is None:
            raise Clash("resize", "given without size", "size, the part that is cut out, beside it")
        self._check_statistics()
        if self.range is not None and not self.range[0] < self.range[1]:
            raise Clash("range", f"given {self.range[0]:g} and {self.range[1]:g}", "the smaller value first")
        return self

    def _check_statistics(self) -> None:
        if isinstance(self.mean, tuple) and self.std is None:
            raise Clash("std", "missing beside numbers for mean", "numbers too")
        if self.std is not None and self.mean is None and self.preprocess is None:
            raise Clash("mean", "missing beside std", "both")
        if isinstance(self.std, tuple) and not all(value > 0 for value in self.std):
            raise Clash("std", "given a deviation that is not above 0", "numbers > 0")
        for name, value in (("mean", self.mean), ("std", self.std)):
            if value == ():
                raise Clash(name, "given no number", "a number for each channel, or one for all")
