"""What two networks differ in, of all that they keep."""

from torch import nn
from torch.nn.utils import parametrize

from engine.compute.models import tensors
from engine.compute.models.attributes import Attributes, Description, described, named
from engine.errors import SecateurError


def recorded_attributes(model: nn.Module, built: nn.Module) -> tuple[Attributes, set[str]]:
    """What has to be stored of `model` so that `built`, which has its structure, gets its attributes.

    Those that differ, as plain JSON; and the names of the `unsaved` tensors to be put in place. A tensor that only
    `model` has was left by a pass through it, such as the last attention map: the next pass makes its own. Raises
    SecateurError for a difference that can't be written.
    """
    recorded: Attributes = {}
    ours, theirs = described(model), described(built)
    kept = set(tensors.transient(model))
    for (module, attribute), own in ours.items():
        other = theirs.get((module, attribute))
        if other is not None and other.value == own.value:
            kept.update(name for name, _ in named(module, attribute, own))
        elif own.recordable:
            recorded.setdefault(module, {})[attribute] = own.value
        elif not _derived(own):
            raise unkeepable(module, attribute)
    for module, attribute in theirs.keys() - ours.keys():
        raise unkeepable(module, attribute)
    return recorded, kept


def _derived(description: Description) -> bool:
    """Whether an attribute that differs was computed in a pass: it holds tensors."""
    return bool(description.tensors)


def unkeepable(module: str, attribute: str) -> SecateurError:
    """The error for what a checkpoint can't hold."""
    return SecateurError(
        f"The network can't be kept: {module + '.' if module else ''}{attribute} is not what its constructor makes",
        "A checkpoint holds tensors, numbers, texts, their lists and dictionaries, and generators of random numbers; "
        "all else must be the same whenever the network is built.",
        "Make it a buffer or a number, or let the constructor set it from its arguments.",
    )


def differences(model: nn.Module, again: nn.Module) -> list[str]:
    """What `again` keeps otherwise than `model`, by name; what passes through `model` left behind does not count."""
    different = [*_in_modules(model, again), *_in_tensors(model, again)]
    # In whatever order: a weight that was made plain comes behind its bias.
    if set(tensors.frozen(model)) != set(tensors.frozen(again)):
        different.append("requires_grad")
    if set(map(frozenset, tensors.ties(model))) != set(map(frozenset, tensors.ties(again))):
        different.append("shared parameters")
    ours, theirs = described(model), described(again)
    for (module, attribute), own_value in ours.items():
        other_value = theirs.get((module, attribute))
        if other_value is None or other_value.value != own_value.value:
            same = _derived(own_value)
        else:
            same = all(map(tensors.equal, own_value.tensors, other_value.tensors))
        if not same:
            different.append(f"{module}.{attribute}" if module else attribute)
    return different


def _in_modules(model: nn.Module, again: nn.Module) -> list[str]:
    ours, theirs = dict(model.named_modules()), dict(again.named_modules())
    odd = [f"{name} ({_class(m)})" for name, m in ours.items() if _class(m) != _class(theirs.get(name))]
    modes = [f"{n}.training" for n, m in ours.items() if n in theirs and m.training != theirs[n].training]
    return [*odd, *sorted(theirs.keys() - ours.keys()), *modes]


def _class(module: nn.Module | None) -> str:
    return "" if module is None else parametrize.type_before_parametrizations(module).__qualname__


def _in_tensors(model: nn.Module, again: nn.Module) -> list[str]:
    ours, theirs = (tensors.saved(one) | tensors.transient(one) for one in (model, again))
    different = [n for n in ours if n not in theirs or not tensors.equal(ours[n], theirs[n])]
    different += sorted(theirs.keys() - ours.keys())
    return different
