"""Find the state_dict in what people save around it: optimizers, counters, averages, and prefixes of names."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from engine.compute.pretrained import timm_names
from engine.compute.pretrained.inert import Inert
from engine.studies.events import Level
from engine.text.phrases import listed

Notices = list[tuple[Level, str]]
"""What the user should know of what was read, in sentences."""

REPLACED = "was replaced by a random one for"
"""What is said of a last layer for other classes than the data's."""

AVERAGE = frozenset(("ema", "swa", "average", "averaged"))
"""Words in the keys of an average of the weights (`state_dict_ema`, `swa_model`). It is preferred: what training
recipes (torchvision's, timm's) report and publish is the average's accuracy."""
WRAPPERS = (
    *("state_dict", "model_state_dict", "model", "model_state", "net", "network", "params", "weights"),
    *("net_state_dict", "module", "backbone", "student"),
)
"""Keys under which training scripts keep the weights."""
PREFIXES = (
    *("model_ema.", "ema_model.", "ema.", "swa_model.", "averaged_model."),
    *("module.", "model.", "_orig_mod.", "net.", "network.", "backbone.", "encoder.", "student.", "_model."),
    *("_module.", "_forward_module."),
)
"""What wrappers put before every name: averages, DataParallel, Lightning, torch.compile, privacy engines."""
INSIDE = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""What wrappers of single layers put within names."""
COUNTERS = ("n_averaged",)
"""Tensors that wrappers keep beside the weights."""
DEEPEST = 32
"""Modules within modules of a file that is not unpickled."""
DEPTH = 4
"""Wrappers within wrappers, at most."""

RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d\.)"), r"\1\2"),
    (re.compile(r"(encoder_layer_\d+\.mlp\.)linear_1\."), r"\g<1>0."),
    (re.compile(r"(encoder_layer_\d+\.mlp\.)linear_2\."), r"\g<1>3."),
)
"""Names that torchvision's models had in files of older versions."""
DOWNSAMPLE = re.compile(r"^(layer[23]\.0\.)downsample\.")
"""What others call the shortcut of a CIFAR ResNet."""


@dataclass(frozen=True)
class Found:
    """Where in a file the weights are: the keys that lead there, and what is there."""

    keys: tuple[str, ...]
    value: Any
    notices: tuple[tuple[Level, str], ...] = ()


def find(value: Any, keys: tuple[str, ...] = ()) -> Found | None:
    """The state_dict or pickled model within `value`, behind at most four wrappers; None if there is none."""
    if _is_model(value):
        return Found(keys, value)
    if not isinstance(value, Mapping) or len(keys) > DEPTH:
        return None
    for key in (*filter(_is_average, value), *WRAPPERS):
        inner = value.get(key)
        inside = find(inner, (*keys, key)) if isinstance(inner, Mapping) or _is_model(inner) else None
        if inside:
            return _with_choice(inside, key, value)
    if _is_state(value):
        return Found(keys, value)
    return _only(value, keys)


def _only(value: Mapping[Any, Any], keys: tuple[str, ...]) -> Found | None:
    """The weights under a key that is not known, where only one of the values can be them."""
    held = [k for k, v in value.items() if isinstance(k, str) and (_is_state(v) or _is_model(v))]
    return Found((*keys, held[0]), value[held[0]]) if len(held) == 1 else None


def _with_choice(chosen: Found, key: str, beside: Mapping[Any, Any]) -> Found:
    """With a notice of other weights that the file has beside those under `key`."""
    others = [k for k, v in beside.items() if k != key and (_is_state(v) or _is_model(v))]
    unnamed = [k for k, v in beside.items() if k != key and _is_average(k) and _is_unnamed(v)]
    notices: Notices = []
    if _is_average(key) and others:
        text = f"took the average of the weights, {key!r}; the file has others too, {listed([*map(repr, others)])}"
        notices.append(("info", text))
    elif others:
        notices.append(
            ("warning", f"took the weights under {key!r}, and left out {listed([*map(repr, others)])}")
        )
    if unnamed:
        text = f"left out the average of the weights, {unnamed[0]!r}: it has no names"
        notices.append(("warning", f"{text}. To have it, copy it into the network and save its state_dict"))
    return Found(chosen.keys, chosen.value, (*chosen.notices, *notices))


def _is_average(key: Any) -> bool:
    """
    >>> _is_average("state_dict_ema"), _is_average("swa_model.module"), _is_average("schema")
    (True, True, False)
    """
    return isinstance(key, str) and not AVERAGE.isdisjoint(re.split(r"[._ ]", key.lower()))


def _is_unnamed(value: Any) -> bool:
    """Whether tensors are in it as a list, in an order that no file tells."""
    parts = value.values() if isinstance(value, Mapping) else ()
    return any(isinstance(part, list) and part and isinstance(part[0], Tensor) for part in parts)


def _is_model(value: Any) -> bool:
    return isinstance(value, nn.Module) or (isinstance(value, Inert) and value.is_module)


def _is_state(value: Any) -> bool:
    """Whether this is names and tensors; numbers beside them (an epoch, a version) do no harm."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return False
    tensors = [k for k, v in value.items() if isinstance(v, Tensor)]
    others = (v for v in value.values() if not isinstance(v, Tensor))
    harmless = all(v is None or isinstance(v, int | float | str | Inert | bytes) for v in others)
    return bool(tensors) and harmless


def tensors(value: Any) -> dict[str, Tensor]:
    """The named tensors of a state_dict, or of a module's parameters and persistent buffers, also of an inert one."""
    if isinstance(value, Inert):
        return dict(_of_inert(value, ""))
    if isinstance(value, Mapping):
        return {name: tensor.detach() for name, tensor in value.items() if isinstance(tensor, Tensor)}
    return dict(_of_module(value, ""))


def _of_module(module: nn.Module, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """As `state_dict` gives them, without calling a method that the module's class may define otherwise."""
    fleeting = vars(module).get("_non_persistent_buffers_set", set())
    buffers = {k: v for k, v in module._buffers.items() if k not in fleeting}
    for name, tensor in (*module._parameters.items(), *buffers.items()):
        if isinstance(tensor, Tensor):
            yield prefix + name, tensor.detach()
    for name, child in module._modules.items():
        if child is not None:
            yield from _of_module(child, f"{prefix}{name}.")


def _of_inert(module: Inert, prefix: str, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """The same of a module that was not unpickled, from what its file has of it."""
    state = module.state if module.is_module else {}
    fleeting = state.get("_non_persistent_buffers_set")
    left_out = fleeting if isinstance(fleeting, set | list | tuple) else ()
    for kind in ("_parameters", "_buffers"):
        held = state.get(kind)
        for name, tensor in held.items() if isinstance(held, Mapping) else ():
            if isinstance(tensor, Tensor) and name not in left_out:
                yield f"{prefix}{name}", tensor.detach()
    children = state.get("_modules")
    if depth < DEEPEST:  # a file may have a module within itself
        for name, child in children.items() if isinstance(children, Mapping) else ():
            if isinstance(child, Inert):
                yield from _of_inert(child, f"{prefix}{name}.", depth + 1)


@dataclass(frozen=True)
class Variant:
    """One way to read the names of a state_dict; `prefix` is what was taken off all of them.

    `left_out` is what else the file has where this is only a part of it, as `teacher.*`.
    """

    state: dict[str, Tensor]
    prefix: str = ""
    left_out: tuple[str, ...] = ()


def variants(state: dict[str, Tensor]) -> list[Variant]:
    """The state_dict as it is, without each known prefix that all its names share, and with today's names."""
    known = [Variant(state)]
    plain = {_without(name): tensor for name, tensor in state.items() if name not in COUNTERS}
    if plain.keys() != state.keys():
        known.append(Variant(plain))
    prefix = ""
    while shared := next((p for p in PREFIXES if plain and all(n.startswith(p) for n in plain)), ""):
        prefix += shared
        plain = {n[len(shared) :]: t for n, t in plain.items() if n[len(shared) :] not in COUNTERS}
        known.append(Variant(plain, prefix))
    return [*known, *(new for one in known for new in _renamed(one))]


def _without(name: str) -> str:
    for inside in INSIDE:
        name = name.replace(inside, "")
    return name


def _renamed(variant: Variant) -> Iterator[Variant]:
    rules = list(RENAMED)
    if not any(name.startswith("layer4.") for name in variant.state):
        rules.append((DOWNSAMPLE, r"\1shortcut."))
    state = {}
    for name, tensor in variant.state.items():
        for pattern, new in rules:
            name = pattern.sub(new, name)
        state[name] = tensor
    if state.keys() != variant.state.keys():
        yield replace(variant, state=state)
    if (timms := timm_names.renamed(variant.state)) is not None:
        yield replace(variant, state=timms)
