"""Weights for a network of the user's own, which is what its code builds and is never rewritten.

Where the file is for other classes than the data's, the network is built for both numbers of classes: the layers whose
sizes differ between the two are the ones that can't take the file's weights, and start at random.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from torch import Tensor, nn

from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.models.tensors import aliases
from engine.compute.pretrained.guess import Match, several
from engine.compute.pretrained.parts import alike
from engine.compute.pretrained.shapes import compare, completed, skeleton
from engine.compute.pretrained.state_dict import other_size, unfit
from engine.compute.pretrained.unwrap import Variant
from engine.errors import SecateurError, UsageError
from engine.text.phrases import counted, listed

SHARE = 0.5
"""Share of a network's tensors that may be left at random on request: where more do not fit, the file is another's."""
NAMED = 4
"""Tensors that a remedy names."""


@dataclass(frozen=True)
class Fitting:
    """How the weights fit: for which classes they are, and which layers start at random for the data's."""

    match: Match
    fresh: tuple[str, ...] = ()


def fit(
    offered: Architecture,
    groups: Sequence[list[Variant]],
    new_layers: Collection[str],
    source: str,
    trusted: bool,
) -> Fitting:
    """The way to read the names that fits `offered`, with the classes of the weights.

    Raises SecateurError where none does, with what would help.
    """
    model = skeleton(offered)
    asked = _named_layers(model, new_layers)

    def matched(arch: Architecture, built: nn.Module, way: Variant) -> Match:
        new = new_tensors(built, asked)
        state = {name: tensor for name, tensor in completed(built, way.state).items() if name not in new}
        difference = compare(built, state, trusted=trusted)
        missing = tuple(name for name in difference.missing if name not in new)
        return Match(arch, state, way.prefix, replace(difference, missing=missing), way.left_out)

    best: list[Match] = []
    for ways in groups:
        candidate = min((matched(offered, model, way) for way in ways), key=lambda one: one.difference.count)
        best.append(candidate)
        if candidate.difference.exact:
            same = alike(groups, lambda way: matched(offered, model, way).difference.fits)
            if candidate.prefix in same and len(same) > 1:
                raise several(same)
            return Fitting(candidate, asked)
    nearest = min(best, key=lambda one: one.difference.count)
    for arch in _others(nearest, offered, model):
        built = skeleton(arch)
        again = matched(arch, built, Variant(nearest.state, nearest.prefix, nearest.left_out))
        if again.difference.exact and arch.channels != offered.channels:
            raise _channels(source, arch.channels, offered.channels)
        if again.difference.exact:
            return Fitting(again, (*asked, *differing(model, built)))
    if nearest.difference.fits and _only_inside(nearest, offered, model):
        return Fitting(nearest, asked)
    raise _unfit(source, nearest, model, asked)


def fill(model: nn.Module, loaded: nn.Module, fresh: Collection[str]) -> None:
    """Give `model`, built for the data, the tensors of `loaded` but those of the layers `fresh`, in place."""
    own, new = model.state_dict(), new_tensors(model, fresh)
    for name, tensor in loaded.state_dict().items():
        if name not in new:
            own[name].copy_(tensor)


def made(arch: Architecture, fresh: Collection[str], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """`state` with the tensors of the layers `fresh` as the network's own code makes them."""
    if not fresh:
        return state
    model = build(arch)
    own, new = model.state_dict(), new_tensors(model, fresh)
    return {name: own[name] if name in new else state.get(name, own[name]) for name in own}


def new_tensors(model: nn.Module, layers: Collection[str]) -> frozenset[str]:
    """The tensors that start at random where `layers` do: what these share with other layers does not."""
    return frozenset(_tensors(model, layers) - shared(model, layers).keys())


def shared(model: nn.Module, layers: Collection[str]) -> dict[str, str]:
    """The tensors that `layers` share with other layers, each with a name that it has there."""
    own = _tensors(model, layers)
    found: dict[str, str] = {}
    for names in aliases(model):
        if others := [name for name in names if name not in own]:
            found |= {name: others[0] for name in names if name in own}
    return found


def _tensors(model: nn.Module, layers: Collection[str]) -> set[str]:
    return {name for name in model.state_dict() if _layer(name) in layers}


def _layer(tensor: str) -> str:
    return tensor.rpartition(".")[0]


def _named_layers(model: nn.Module, names: Collection[str]) -> tuple[str, ...]:
    """The layers with tensors of their own that `names` mean, patterns and those below a name included."""
    layers = list(dict.fromkeys(_layer(name) for name in model.state_dict()))
    chosen: dict[str, None] = {}
    for name in names:
        meant = [one for one in layers if fnmatchcase(one, name) or fnmatchcase(one, f"{name}.*")]
        if not meant:
            raise UsageError(
                f"There is no layer {name} with weights",
                f"model.new_layers names it; the last layers are {', '.join(layers[-4:])}.",
                "Correct the name.",
            )
        chosen |= dict.fromkeys(meant)
    return tuple(chosen)


def _only_inside(candidate: Match, offered: Architecture, model: nn.Module) -> bool:
    """Whether what is narrower in the file lost channels to pruning: neither input channels nor classes."""
    own = model.state_dict()
    first = next((name for name, tensor in own.items() if tensor.ndim == 4), "")
    last = differing(model, skeleton(replace(offered, classes=offered.classes + 1)))
    narrower = candidate.difference.narrower
    same_stem = first not in narrower or candidate.state[first].shape[1:] == own[first].shape[1:]
    return same_stem and not any(
        candidate.state[name].shape[0] != own[name].shape[0] for name in narrower if _layer(name) in last
    )


def _others(nearest: Match, offered: Architecture, model: nn.Module) -> Iterator[Architecture]:
    """The network for other classes, or other channels, that sizes in the file suggest."""
    own = model.state_dict()
    pairs = [
        (own[name].shape, tensor.shape)
        for name, tensor in nearest.state.items()
        if name in own and own[name].shape != tensor.shape and own[name].ndim == tensor.ndim
    ]
    classes = {has[0] for wanted, has in pairs if wanted[0] == offered.classes}
    channels = {has[1] for wanted, has in pairs if len(wanted) == 4 and wanted[1] == offered.channels}
    yield from (replace(offered, classes=count) for count in classes - {offered.classes})
    yield from (replace(offered, channels=count) for count in channels - {offered.channels})
    yield from (
        replace(offered, channels=one, classes=other)
        for one in channels - {offered.channels}
        for other in classes - {offered.classes}
    )


def differing(one: nn.Module, two: nn.Module) -> tuple[str, ...]:
    """The layers whose tensors have other sizes in the two networks."""
    sizes = {name: tensor.shape for name, tensor in two.state_dict().items()}
    return tuple(dict.fromkeys(_layer(n) for n, t in one.state_dict().items() if sizes.get(n) != t.shape))


def _channels(source: str, has: int, wanted: int) -> SecateurError:
    return SecateurError(
        f"The weights in {source} are for images of {counted(has, 'channel')}",
        f"The data has {wanted}, and a network of your own is not rewritten.",
        f"Set data.channels: {has}",
    )


def _unfit(source: str, nearest: Match, model: nn.Module, asked: Collection[str]) -> SecateurError:
    """The error with the layers that could start at random beside those `asked`; where most do not fit, the file is of
    another network."""
    difference, own = nearest.difference, model.state_dict()
    # Where all else fits, it is for what is narrower that the file can't be taken.
    narrower = difference.narrower if difference.fits else ()
    wrong = [
        *difference.missing,
        *narrower,
        *(re.split(" is | holds ", line)[0] for line in difference.misfits),
    ]
    layers = list(dict.fromkeys(map(_layer, wrong)))
    sizes = [other_size(name, nearest.state[name], own[name]) for name in narrower]
    error = unfit(source, [*difference.lines(), *sizes])
    of_others = any(_layer(name) not in layers for name in difference.unexpected)
    if not layers or "" in layers or of_others or len(wrong) > SHARE * len(own):
        remedy = "Correct model.weights, or the network in your file: these are not its weights."
    else:
        fresh = f"model.new_layers: [{', '.join(dict.fromkeys((*asked, *layers)))}]"
        lost = sorted(new_tensors(model, layers) & nearest.state.keys() - set(wrong))
        also = f" ({listed(lost, NAMED)} of the file would not be taken either)" if lost else ""
        remedy = (
            f"If these layers may start at random, to be trained: {fresh}{also}. Else correct the network."
        )
    return SecateurError(error.title, error.detail, remedy)
