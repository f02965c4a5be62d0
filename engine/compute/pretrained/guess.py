"""Which network a state_dict belongs to: told by the names and shapes of its tensors."""

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from engine.compute.models.architecture import Architecture
from engine.compute.models.edits import reshape
from engine.compute.pretrained.by_order import renamed
from engine.compute.pretrained.parts import alike
from engine.compute.pretrained.shapes import (
    AUXILIARY,
    Difference,
    compare,
    narrow_,
    skeleton,
    stem_and_head,
    without_auxiliary,
)
from engine.compute.pretrained.state_dict import COUNTER
from engine.compute.pretrained.tensor_names import FINGERPRINTS
from engine.compute.pretrained.unwrap import Variant
from engine.errors import SecateurError
from engine.params import catalog
from engine.text.visible import visible

USUAL_EPSILON = 1e-5
"""Of torch's normalizations, where nothing else is said."""
TRIED = 224
"""Pixels at which a pruned candidate is tried: every model that is built for no certain size takes them."""
TRIED_INCEPTION = 299
NEAREST = 3
"""Candidates that an error lists."""
COMPARED = 6
"""Networks that unknown weights are compared with: building one takes a tenth of a second."""
LISTED = 3
"""Differences that it lists of each."""
BOUND = ("torchvision/vit", "torchvision/maxvit")
"""Transformers whose tensors depend on the image size."""
_BLOCK = re.compile(r"layer([123])\.(\d+)\.conv1\.weight")
_SHORTCUT = "layer2.0.shortcut.0.weight"
_WIDTH = 16
"""The width of the first stage in the paper."""


@dataclass(frozen=True)
class Match:
    """A network that a state_dict fits, with the channels and classes of its own weights."""

    arch: Architecture
    state: dict[str, Tensor]
    prefix: str
    difference: Difference
    left_out: tuple[str, ...] = ()
    by_order: bool = False
    """Whether the file has other names for the tensors, so that order and sizes had to tell."""


def fingerprint(names: Iterable[str]) -> str:
    """Tells apart sets of tensor names, 12 hexadecimal digits; counters of batches are left out."""
    lines = "\n".join(sorted(name for name in names if not name.endswith(COUNTER)))
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def guess(groups: Sequence[list[Variant]], offered: Architecture, *, trusted: bool = False) -> Match:
    """The one known network that the tensors fit by name: exactly, or with fewer channels (then the smallest such).

    `groups` are the ways to read each part of the file, the likeliest first. `offered` has the data's size and the
    preset's arguments; `trusted`: a pickled model comes with the tensors, which tells what they do not (how many heads
    attention has). Raises SecateurError, naming what comes nearest, when no network or more than one fits.
    """
    every: list[Match] = []
    for variants in groups:
        fitting = [match for variant in variants for match in _fitting(variant, offered, trusted)]
        exact = [match for match in fitting if match.difference.exact]
        if len({match.arch.name for match in exact}) > 1:
            raise _ambiguous(exact)
        pruned = [] if exact else [match for match in fitting if trusted or runs(match)]
        if exact or pruned:
            _check_alone(groups, exact[0] if exact else pruned[0], offered, trusted)
            return exact[0] if exact else min(pruned, key=_parameters)
        every += fitting
    ordered = [] if trusted else _by_order(groups, offered)
    if len({one.arch.name for one in ordered}) > 1:
        raise _ambiguous(ordered)
    if ordered:
        raise _only_sizes(ordered[0].arch.name)
    raise _unknown([variant for variants in groups for variant in variants], offered, every)


def _check_alone(
    groups: Sequence[list[Variant]], chosen: Match, offered: Architecture, trusted: bool
) -> None:
    """Raises SecateurError where the file has several networks and no name says which is meant."""
    same = alike(groups, lambda variant: any(True for _ in _fitting(variant, offered, trusted)))
    if chosen.prefix in same and len(same) > 1:
        raise several(same)


def several(prefixes: list[str]) -> SecateurError:
    """The error for a file of several networks."""
    return SecateurError(
        "The file holds several networks",
        f"The tensors of {' and of '.join(f'{prefix}*' for prefix in prefixes)} fit.",
        f"Say which: model.part: {prefixes[0].rstrip('.')}",
    )


def match(arch: Architecture, groups: Sequence[list[Variant]], *, trusted: bool = False) -> Match:
    """`arch` with the channels and classes of the weights, and the variant of their names that fits it best."""
    if arch.name.startswith(BOUND):
        sizes = [size for ways in groups for way in ways if (size := _size(way.state, arch)) != arch.size]
        arch = replace(arch, size=sizes[0]) if sizes else arch
    model = skeleton(arch)
    matches = [min((_match(arch, way, model, trusted) for way in ways), key=_count) for ways in groups]
    fitting = [one for one in matches if one.difference.fits]
    if fitting:
        same = alike(groups, lambda way: _match(arch, way, model, trusted).difference.fits)
        if fitting[0].prefix in same and len(same) > 1:
            raise several(same)
        return fitting[0]
    ordered = [] if trusted else list(_in_order(arch, model, groups))
    if ordered and (epsilon := _unusual_epsilon(model)):
        raise _other_epsilon(arch.name, epsilon)
    return (ordered or [min(matches, key=_count)])[0]


def _by_order(groups: Sequence[list[Variant]], offered: Architecture) -> list[Match]:
    """Known networks, of as many tensors, that the whole file fits by the order and sizes of its tensors."""
    state = groups[0][0].state
    count = sum(not name.endswith(COUNTER) for name in state)
    names = [
        name for name, (_, many, _) in FINGERPRINTS.items() if many == count and not name.startswith(BOUND)
    ]
    candidates = [replace(offered, name=name, arguments={}) for name in names]
    return [one for arch in candidates for one in _in_order(arch, skeleton(_native(arch)), groups[:1])]


def _in_order(arch: Architecture, model: nn.Module, groups: Sequence[list[Variant]]) -> Iterator[Match]:
    """`arch` with the tensors of a part of the file under its own names, where order and sizes tell them."""
    for ways in groups:
        state = renamed(model, ways[0].state)
        if state is not None:
            candidate = _match(arch, replace(ways[0], state=state), model)
            if candidate.difference.exact:
                yield replace(candidate, by_order=True)


def _unusual_epsilon(model: nn.Module) -> float | None:
    """What a normalization of the network adds to the variance, where that is not what nearly all networks add."""
    norms = (one for one in model.modules() if isinstance(one, nn.BatchNorm2d | nn.LayerNorm))
    return next((norm.eps for norm in norms if norm.eps != USUAL_EPSILON), None)


def _other_epsilon(name: str, epsilon: float) -> SecateurError:
    return SecateurError(
        f"The weights have the sizes of {name}, and are not its own",
        f"Their names are another program's, and {name} normalizes with an epsilon of {epsilon:g}, which no tensor "
        f"shows: with the usual {USUAL_EPSILON:g} its outputs would be others.",
        "Build their network in a file of yours and name its function: model.name: path/file.py:function.",
    )


def _only_sizes(name: str) -> SecateurError:
    return SecateurError(
        f"The weights have the sizes of {name}, under other names",
        "No tensor shows how a network pads, which epsilon it normalizes with, and what its activations are: timm's "
        "efficientnet_b0 and tf_efficientnet_b0 differ in nothing else.",
        f"If they are of that very network, say so: model.name: {name}. Else build theirs in a file of yours: "
        "model.name: path/file.py:function.",
    )


def _count(candidate: Match) -> int:
    return candidate.difference.count


def _match(arch: Architecture, variant: Variant, model: nn.Module, trusted: bool = False) -> Match:
    state = without_auxiliary(arch, variant.state)
    native = _fitted(arch, model, state)
    difference = compare(model if native == arch else skeleton(native), state, trusted=trusted)
    return Match(native, state, variant.prefix, difference, variant.left_out)


def _fitted(arch: Architecture, model: nn.Module, state: dict[str, Tensor]) -> Architecture:
    """`arch` with the input channels of the weights' stem and the classes of their head."""
    own = model.state_dict()
    stem, head = (f"{name}.weight" for name in stem_and_head(model))
    channels, classes = arch.channels, arch.classes
    if stem in state and own[stem].shape[1] == channels and state[stem].ndim == own[stem].ndim:
        channels = state[stem].shape[1]
    if head in state and own[head].shape[0] == classes and state[head].ndim == own[head].ndim:
        classes = state[head].shape[0]
    return replace(arch, channels=channels, classes=classes)


def _fitting(variant: Variant, offered: Architecture, trusted: bool) -> Iterator[Match]:
    for arch in _candidates(variant.state, offered):
        candidate = _match(arch, variant, skeleton(arch), trusted)
        if candidate.difference.fits:
            yield candidate


def _candidates(state: dict[str, Tensor], offered: Architecture) -> Iterator[Architecture]:
    """Architectures whose tensors have these names."""
    yield from _cifar(state, offered)
    for name, (known, _, _) in FINGERPRINTS.items():
        prefixes = AUXILIARY.get(name, ())
        names = [n for n in state if not (prefixes and n.startswith(prefixes))]
        if fingerprint(names) == known:
            yield replace(offered, name=name, size=_size(state, offered))


def _size(state: dict[str, Tensor], offered: Architecture) -> tuple[int, int]:
    """The image size that transformers are bound to, from their embedded positions; else the data's."""
    positions, patches = state.get("encoder.pos_embedding"), state.get("conv_proj.weight")
    windows = state.get("blocks.0.layers.0.layers.window_attention.attn_layer.1.relative_position_bias_table")
    if positions is not None and patches is not None and positions.ndim == 3 and patches.ndim == 4:
        side = math.isqrt(max(positions.shape[1] - 1, 1)) * patches.shape[-1]
        return (side, side)
    if windows is not None and windows.ndim == 2:
        side = (math.isqrt(windows.shape[0]) + 1) // 2 * 32  # a window is 1/32 of the image (Tu et al. 2022)
        return (side, side)
    return offered.size


def _cifar(state: dict[str, Tensor], offered: Architecture) -> Iterator[Architecture]:
    """CIFAR ResNets of the depth that the blocks tell: as wide as the first layer, or wider and then pruned."""
    blocks: dict[str, set[str]] = {"1": set(), "2": set(), "3": set()}
    for stage, block in (block_name.groups() for name in state if (block_name := _BLOCK.fullmatch(name))):
        blocks[stage].add(block)
    first = state.get("conv1.weight")
    if (
        _SHORTCUT not in state
        or first is None
        or first.ndim != 4
        or len({len(b) for b in blocks.values()}) > 1
    ):
        return
    least = max(
        (
            math.ceil(tensor.shape[0] / 2 ** (int(name[5]) - 1))
            for name, tensor in state.items()
            if _staged(name, tensor)
        ),
        default=_WIDTH,
    )
    for width in dict.fromkeys((first.shape[0], max(least, _WIDTH))):
        arguments = {"width": width} | offered.arguments
        yield replace(offered, name=f"resnet{6 * len(blocks['1']) + 2}", arguments=arguments)


def _staged(name: str, tensor: Tensor) -> bool:
    return name.startswith("layer") and tensor.ndim == 4


def runs(candidate: Match) -> bool:
    """Whether the narrower network takes an image: sizes of layers that follow each other then agree."""
    arch = candidate.arch
    if arch.name == "torchvision/inception_v3":
        arch = replace(arch, size=(TRIED_INCEPTION, TRIED_INCEPTION))
    elif not arch.name.startswith(BOUND):
        arch = replace(arch, size=(TRIED, TRIED))
    model = skeleton(arch)
    narrow_(model, candidate.state)
    reshape(model, candidate.state)
    try:
        with torch.inference_mode():
            model(torch.empty(1, arch.channels, *arch.size, device="meta"))
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError):
        return False
    return True


def _parameters(candidate: Match) -> int:
    return sum(p.numel() for p in skeleton(candidate.arch).parameters())


def _ambiguous(candidates: list[Match]) -> SecateurError:
    names = sorted({one.arch.name for one in candidates})
    return SecateurError(
        "The weights fit more than one model",
        f"Their tensors have the same names and shapes in {', '.join(names)}.",
        f"Say which: model.name: {names[0]}",
    )


def _unknown(variants: list[Variant], offered: Architecture, fitting: list[Match]) -> SecateurError:
    """What comes nearest, of all known networks, and what differs; a pruned one that does not run comes first."""
    if fitting:
        detail = (
            f"They look like {fitting[0].arch.name} with fewer channels, but their sizes do not go together."
        )
        return _not_recognized(detail)
    near = [
        _match(arch, variant, skeleton(_native(arch)))
        for variant in variants
        for arch in [*_candidates(variant.state, offered)] or _similar(variant.state, offered)
    ]
    near.sort(key=lambda one: one.difference.count)
    lines: list[str] = []
    for one in {one.arch.name: one for one in reversed(near[:NEAREST])}.values():
        differing = one.difference.lines()
        more = f", … ({len(differing)} differences)" if len(differing) > LISTED else ""
        lines.insert(0, f"  {one.arch.name}: {'; '.join(differing[:LISTED])}{more}")
    detail = (
        "Nearest:\n" + "\n".join(map(visible, lines))
        if lines
        else "No known model has tensors of such names."
    )
    return _not_recognized(detail)


def _similar(state: dict[str, Tensor], offered: Architecture) -> list[Architecture]:
    """Architectures that begin with a tensor of a name that these have too, the closest in number of tensors first."""
    count = sum(not name.endswith(COUNTER) for name in state)
    alike = [(abs(many - count), name) for name, (_, many, first) in FINGERPRINTS.items() if first in state]
    return [replace(offered, name=name, arguments={}) for _, name in sorted(alike)[:COMPARED]]


def _native(arch: Architecture) -> Architecture:
    """With an image size that its constructor takes, whatever the data's is."""
    return replace(arch, size=(TRIED, TRIED))


def _not_recognized(detail: str) -> SecateurError:
    return SecateurError(
        "No known model fits these weights",
        detail,
        "Build their network in a file of yours and name its function: model.name: path/file.py:function.",
    )


def known() -> tuple[str, ...]:
    """The networks that are recognized by their names; the CIFAR ResNets are besides."""
    return tuple(name for name in catalog.MODELS if name.startswith("torchvision/"))
