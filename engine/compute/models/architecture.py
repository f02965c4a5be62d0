"""What a network was built from: its name, input and classes."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from engine.errors import SecateurError
from engine.params.catalog import may_build

_ATTRIBUTE = "secateur_architecture"


@dataclass(frozen=True)
class Architecture:
    """How to build a network anew, without its weights: what `model.json` records.

    `seed`: of the random numbers that its constructor draws, those of NumPy and Python too.
    """

    name: str
    channels: int
    classes: int
    size: tuple[int, int]
    arguments: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"size": list(self.size)}

    @staticmethod
    def from_dict(data: dict[str, Any], named: Collection[str] = ()) -> "Architecture":
        """What a checkpoint says, for a preset whose models are `named` so.

        Raises SecateurError where it would have code run that the preset does not name.
        """
        name = str(data["name"])
        if not may_build(name, named):
            raise SecateurError(
                "A stored model asks for code that the preset does not name",
                f"It says that it is built by {name}; the preset names {' and '.join(named) or 'no code'}.",
                "Nothing of it was run. If it is a model of yours, name that function in the preset: model.name.",
            )
        return Architecture(**(data | {"name": name, "size": tuple(data["size"])}))


def architecture(model: nn.Module) -> Architecture:
    """The architecture that `build` made `model` from."""
    arch = getattr(model, _ATTRIBUTE)
    assert isinstance(arch, Architecture)
    return arch


def is_attached(model: nn.Module) -> bool:
    """Whether `model` says what it was built from."""
    return hasattr(model, _ATTRIBUTE)


def attached(model: nn.Module, arch: Architecture) -> nn.Module:
    """`model`, which from now on says that `arch` is how to build it."""
    setattr(model, _ATTRIBUTE, arch)
    return model
