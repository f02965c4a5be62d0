"""A user's own data: the arrays that a function in their Python file returns."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.compute.data.images import Pixels
from engine.compute.data.pixels import EXACT, Fit
from engine.compute.data.source import LabelledImages, Source, check_numbers
from engine.compute.numerics.aligned import aligned, from_array, to_array
from engine.compute.numerics.seeds import seed_everything
from engine.compute.usercode import load_function
from engine.datasets import LOADER_VERSION, effective
from engine.errors import SecateurError
from engine.params.preset import Data

EXPECTED = (
    "Return {'train': (images, labels), 'test': (images, labels)}, with 'validation' and 'classes' (names) "
    "if you have them; images as numpy or torch arrays of numbers, of shape (N, C, H, W) or (N, H, W); labels as "
    "whole numbers from 0, of shape (N,)."
)
SPLITS = ("train", "validation", "test")
NUMBERS = "biufc"
"""NumPy's kinds of arrays that torch has too; which of them images and labels may be is looked at later."""
PLAIN = (1, 3, 4)
"""Channels of usual images."""
ROUNDING = 1e-4
"""Of a level of 255: what dividing by 255 and multiplying again may be off in float32."""


def read_user(params: Data) -> tuple[Source, str]:
    """Call the function that `params.name` names, with `params.root` if it is given.

    Returns what it gave, and the fingerprint of that: the SHA-256 of its arrays, class names and the
    parameters that change the tensors.

    Raises SecateurError, saying that it is the user's file, when it fails or gives something else.
    """
    # What it draws from the global generators without a seed repeats; generators of its own it has to seed itself.
    seed_everything(params.split_seed, "data")
    function = load_function(params.name, "data")
    given = function(params.root) if params.root is not None else function()
    arrays, names = _checked(given, params)
    fit = Fit.of(params)
    parts = {split: LabelledImages(Pixels(images, fit), labels) for split, (images, labels) in arrays.items()}
    source = Source(parts["train"], parts.get("validation"), parts.get("test"), names)
    return source, _fingerprint(arrays, names, params)


def _checked(given: Any, params: Data) -> tuple[dict[str, tuple[Tensor, Tensor]], tuple[str, ...]]:
    name = params.name
    if not isinstance(given, Mapping):
        raise _wrong(name, f"It returned {_kind(given)}.")
    unknown = [key for key in given if key not in (*SPLITS, "classes")]
    if unknown or "train" not in given:
        raise _wrong(name, f"It returned the keys {', '.join(map(repr, given)) or 'none'}.")
    arrays = {split: _pair(given[split], split, params) for split in SPLITS if split in given}
    shapes = {tuple(images.shape[1:]) for images, _ in arrays.values()}
    if len(shapes) > 1:
        raise _wrong(
            name, f"The splits' images have different shapes: {', '.join(map(str, sorted(shapes)))}."
        )
    arrays = _of_one_type(arrays, name)
    highest = max(int(labels.max()) for _, labels in arrays.values())
    names = _names(given["classes"], name) if "classes" in given else None
    if names is None:
        check_numbers(highest, len(arrays["train"][1]), name)
        names = tuple(map(str, range(highest + 1)))
    if highest >= len(names):
        raise _wrong(
            name, f"There are {len(names)} classes, but a label is {highest}; 0 to {len(names) - 1}."
        )
    return arrays, names


def _names(classes: Any, name: str) -> tuple[str, ...]:
    """The classes' names, in the order of their labels: a list says it, a dictionary or a set does not."""
    if not isinstance(classes, list | tuple | np.ndarray):
        raise _wrong(
            name, f"'classes' is {_kind(classes)}, not a list of names in the order of their labels."
        )
    names = tuple(map(str, classes))
    if twice := next((one for one, times in Counter(names).items() if times > 1), None):
        raise _wrong(name, f"'classes' names {twice} twice.")
    return names


def _pair(value: Any, split: str, params: Data) -> tuple[Tensor, Tensor]:
    name = params.name
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise _wrong(name, f"{split!r} is {_kind(value)}, not a pair of images and labels.")
    images = _images(_tensor(value[0], f"{split} images", name), split, params)
    labels = _labels(_tensor(value[1], f"{split} labels", name), split, name)
    if not len(images) or len(images) != len(labels):
        raise _wrong(name, f"{split!r} has {len(images)} images and {len(labels)} labels.")
    return images, labels


def _tensor(value: Any, what: str, name: str) -> Tensor:
    try:
        if isinstance(value, Tensor):
            return _signed(aligned(_readable(value).detach().cpu()))
        array = np.ascontiguousarray(value)
        if isinstance(value, np.ma.MaskedArray) and value.mask.any():
            raise ValueError("some values are masked, and what stands there is not known")
        if array.dtype.kind not in NUMBERS:
            raise ValueError(f"its values are {array.dtype}, not numbers")
        return _signed(from_array(array.astype(array.dtype.newbyteorder("="), copy=False)))
    except (TypeError, ValueError) as error:
        raise _wrong(name, f"The {what} are {_kind(value)}: {error}.") from error


def _readable(tensor: Tensor) -> Tensor:
    """The tensor itself. Raises ValueError where its values don't lie in memory one by one."""
    if tensor.is_meta:
        raise ValueError("it has no values (device meta)")
    if tensor.is_nested or tensor.layout != torch.strided:
        raise ValueError("it is sparse or nested, not dense")
    if tensor.is_quantized:
        raise ValueError("it is quantized")
    return tensor


def _signed(tensor: Tensor) -> Tensor:
    """Whole numbers of 16 and more bits without sign, of which torch can compute next to nothing, with one."""
    if tensor.dtype == torch.uint64 and bool((tensor.view(torch.int64) < 0).any()):
        raise ValueError("it has values beyond 2⁶³")
    return tensor.to(torch.int64) if tensor.dtype in (torch.uint16, torch.uint32, torch.uint64) else tensor


def _images(images: Tensor, split: str, params: Data) -> Tensor:
    """The images as (N, C, H, W): uint8 as they are, others as float32."""
    shape = tuple(images.shape)
    images = images.unsqueeze(1) if images.ndim == 3 else images
    last = len(shape) == 4 and shape[1] != params.channels and shape[3] < min(shape[1:3])
    if images.ndim != 4 or (last and (shape[3] in PLAIN or shape[1] == shape[2])):
        hint = " Channels come second: use transpose(0, 3, 1, 2)." if last else ""
        raise _wrong(params.name, f"The {split} images have shape {shape}, not (N, C, H, W).{hint}")
    if images.dtype == torch.uint8:
        return images.contiguous()
    if images.dtype == torch.bool or images.is_complex():
        raise _wrong(params.name, f"The {split} images are {images.dtype}; numbers of 8 bits or more.")
    values = images.float()
    if not bool(values.isfinite().all()):
        raise _wrong(params.name, f"The {split} images have values that are no numbers (NaN or infinite).")
    if not images.is_floating_point() and int(images.abs().max()) > EXACT:
        raise _wrong(
            params.name, f"The {split} images have values beyond {EXACT}, which float32 can't tell apart."
        )
    return values.contiguous()


def _of_one_type(arrays: dict[str, tuple[Tensor, Tensor]], name: str) -> dict[str, tuple[Tensor, Tensor]]:
    """Images that are uint8 in some splits are so in all, or refused; floats that are 8 bits over 255 become these."""
    as_bytes = {split: _as_bytes(images) for split, (images, _) in arrays.items()}
    if any(images is None for images in as_bytes.values()):
        mixed = dict.fromkeys(images.dtype for images, _ in arrays.values())
        if len(mixed) > 1:
            raise _wrong(name, f"The splits' images have different types: {' and '.join(map(str, mixed))}.")
        return arrays
    return {split: (as_bytes[split], labels) for split, (_, labels) in arrays.items()}  # type: ignore[misc]


def _as_bytes(images: Tensor) -> Tensor | None:
    """The same images as uint8, where that loses nothing: they are, or are floats that were made of such."""
    if images.dtype == torch.uint8:
        return images
    rounded = (images * 255).round()
    bounded = bool(((rounded >= 0) & (rounded <= 255)).all())
    # A float of 8 bits over 255 lies within rounding of it; other floats lie anywhere.
    exact = bounded and bool(((images * 255 - rounded).abs() <= ROUNDING).all())
    return rounded.to(torch.uint8) if exact else None


def _labels(labels: Tensor, split: str, name: str) -> Tensor:
    if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise _wrong(
            name, f"The {split} labels are {labels.dtype} {tuple(labels.shape)}; whole numbers, shape (N,)."
        )
    if len(labels) and int(labels.min()) < 0:
        raise _wrong(name, f"A {split} label is {int(labels.min())}; 0 is the first class.")
    return labels.long().contiguous()


def _fingerprint(arrays: dict[str, tuple[Tensor, Tensor]], names: tuple[str, ...], params: Data) -> str:
    has_validation, has_test = "validation" in arrays, "test" in arrays
    material = {
        "loader": LOADER_VERSION,
        "parameters": effective(params, None, has_validation, has_test),
        "classes": names,
        "shapes": {split: tuple(images.shape) for split, (images, _) in arrays.items()},
    }
    digest = hashlib.sha256(json.dumps(material, sort_keys=True).encode())
    for images, labels in arrays.values():
        digest.update(to_array(images).data)
        digest.update(to_array(labels).data)
    return digest.hexdigest()


def _kind(value: object) -> str:
    name = type(value).__name__
    return "nothing (None)" if value is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _wrong(name: str, detail: str) -> SecateurError:
    return SecateurError(f"Your own code gives data of the wrong form: {name}", detail, EXPECTED)
