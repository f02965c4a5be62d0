"""Weights of a detector: as ultralytics saves them, for the data's classes or for others.

The width of the branches that tell classes apart depends on how many there are. So the detector is built for the
file's classes too, and the layers whose sizes differ between both start at random; all others must fit exactly.
"""

from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.pretrained.own import differing, fill
from engine.compute.pretrained.shapes import compare
from engine.compute.pretrained.state_dict import load_into, unfit
from engine.compute.pretrained.unwrap import REPLACED, Notices, variants
from engine.errors import SecateurError
from engine.text.phrases import counted

WITHIN = "model."
"""What a state_dict of the layers alone lacks: `model.model.state_dict()`."""


def fit(state: dict[str, Tensor], path: Path, offered: Architecture) -> tuple[nn.Module, Notices]:
    """The detector `offered` with the weights of the file `path`, and what is to be told of them.

    Raises SecateurError, naming what differs, where they are of another network or for other images.
    """
    model = build(offered)
    own = model.state_dict()
    ways = [way.state for way in variants(state)]
    ways += [{WITHIN + name: tensor for name, tensor in way.items()} for way in ways]
    best = max(ways, key=lambda way: len(own.keys() & way.keys()))
    difference = compare(model, best)
    if difference.exact:
        load_into(model, best, str(path))
        return model, []
    for classes in _classes(own, best, offered):
        other = build(replace(offered, classes=classes))
        if compare(other, best).exact:
            load_into(other, best, str(path))
            fill(model, other, differing(model, other))
            head = f"what tells classes apart in {path.name}, for {counted(classes, 'class', 'classes')},"
            return model, [
                ("warning", f"{head} {REPLACED} the data's {offered.classes}: it has to be trained")
            ]
    wrong = difference.lines() or [f"{name} is narrower than the network's" for name in difference.narrower]
    error = unfit(str(path), wrong)
    raise SecateurError(
        error.title,
        error.detail,
        f"Name the detector that they are of (this is {offered.name}), and data of as many channels "
        f"({offered.channels} here).",
    )


def _classes(own: dict[str, Tensor], state: dict[str, Tensor], offered: Architecture) -> list[int]:
    """The numbers of classes that the sizes of vectors in the file suggest, where ours have the data's."""
    sizes = [
        len(state[name])
        for name, tensor in own.items()
        if tensor.ndim == 1 and len(tensor) == offered.classes and name in state and state[name].ndim == 1
    ]
    return list(dict.fromkeys(size for size in sizes if size != offered.classes))
