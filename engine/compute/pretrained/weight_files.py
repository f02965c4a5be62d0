"""Named tensors out of a file that somebody brings, whatever they are wrapped in."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from engine.compute.numerics.aligned import align_, read_tensors
from engine.compute.pretrained import inert, pickles
from engine.compute.pretrained.files import SAVE, check_unpacked, kind, refused
from engine.compute.pretrained.unwrap import Notices, find, tensors
from engine.errors import SecateurError
from engine.params.catalog import DETECTOR
from engine.params.preset import Model

TENSORS = "model.safetensors"
RECIPE = "model.json"
"""The files of a checkpoint of ours."""
LISTED = 6
"""How many keys of a dictionary without weights, and how many classes, an error shows."""
PICKLED_DETECTOR = "ultralytics.nn.tasks.DetectionModel"
"""What ultralytics' training saves whole."""
LONGEST_KEY = 80
"""Letters of a key that it shows."""


@dataclass(frozen=True)
class WeightFile:
    """The named tensors of a file, float32; what there is to say of them; the module, if one was unpickled."""

    state: dict[str, Tensor]
    notices: Notices
    module: nn.Module | None = None


def read(path: Path, params: Model) -> WeightFile:
    """The weights in `path`, whatever they are wrapped in; a pickled model only if `params` trusts it.

    Raises SecateurError for a file that holds none, that is damaged or of another format, and for a pickled
    model that is not trusted.
    """
    form = kind(path)
    if form == "safetensors":
        return _floats(path, _safetensors(path), [])
    content = inert.read(path, form)
    weights = find(content.value)
    if weights is None:
        raise _no_state(path, content)
    notices = list(weights.notices)
    if weights.keys and not notices:
        notices.append(("info", f"took the weights under {'.'.join(weights.keys)!r} in {path.name}"))
    if isinstance(weights.value, inert.Inert) and _is_detector(weights.value, params):
        # Its code is that of the detector that the preset names, so that tensors are all that is needed of it.
        notices.append(
            ("info", f"took the tensors out of {path.name}, a pickled detector, without running it")
        )
        return _floats(path, tensors(weights.value), notices)
    if isinstance(weights.value, inert.Inert):
        if not params.trust_pickle:
            raise pickles.untrusted(path, weights.value)
        return _trusted(path, content, params, notices)
    if content.foreign:
        notices.append(
            ("info", f"left out of {path.name}, and not run: {', '.join(content.foreign[:LISTED])}")
        )
    return _floats(path, tensors(weights.value), notices)


def _is_detector(model: inert.Inert, params: Model) -> bool:
    return params.name.startswith(DETECTOR) and model.path == PICKLED_DETECTOR


def _trusted(path: Path, content: inert.Content, params: Model, notices: Notices) -> WeightFile:
    weights = find(pickles.unpickle(path, content, params.name))
    if weights is None:
        raise _no_state(path, content)
    notices = [*notices, ("warning", f"{path.name} is a pickled model: its code was run once, to convert it")]
    module = align_(weights.value.float().eval()) if isinstance(weights.value, nn.Module) else None
    return _floats(path, tensors(weights.value), notices, module)


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return read_tensors(path)
    except (SafetensorError, *inert.UNREADABLE) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise refused(
            path, f"is a damaged or incomplete safetensors file: {reason}", "Copy it again."
        ) from error


def _no_state(path: Path, content: inert.Content) -> SecateurError:
    value: Any = content.value
    what = type(value).__name__
    if isinstance(value, dict):
        what = f"a dictionary of {', '.join(map(_named, islice(value, LISTED))) or 'nothing'}"
    elif isinstance(value, inert.Inert):
        what = f"an object of {value.path}"
    if content.foreign:
        what += f" (and {', '.join(content.foreign[:LISTED])}, which was not run)"
    return SecateurError(
        f"Weights {path} hold no state_dict",
        f"The file holds {what}; a mapping from names to tensors is needed.",
        SAVE,
    )


def _named(key: Any) -> str:
    """A key; what is no text may be endless when it is written out."""
    return repr(key[:LONGEST_KEY]) if isinstance(key, str) else f"an object of {type(key).__name__}"


def _floats(
    path: Path, state: dict[str, Tensor], notices: Notices, module: nn.Module | None = None
) -> WeightFile:
    """Every floating-point tensor as float32, every tensor dense."""
    # A tensor may say that it repeats one value, or leaves out, more than any memory holds.
    check_unpacked(path, sum(tensor.numel() * tensor.element_size() for tensor in state.values()))
    if any(tensor.is_meta for tensor in state.values()):
        raise refused(path, "holds tensors without values (of the device meta)", SAVE)
    if any(tensor.is_quantized for tensor in state.values()):
        raise SecateurError(
            "The weights are quantized already",
            "They are stored as integers, which can be neither pruned nor trained.",
            "Bring the model as it was before quantization.",
        )
    other = {t.dtype for t in state.values() if t.is_floating_point()} - {torch.float32}
    if other:
        names = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in other))
        notices = [*notices, ("info", f"weights in {names} were converted to float32")]
    dense = {n: t.to_dense() if t.layout != torch.strided else t for n, t in state.items()}
    plain = {n: t.to(torch.float32) if t.is_floating_point() else t for n, t in dense.items()}
    return WeightFile(plain, notices, module)
