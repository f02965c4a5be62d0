"""What a network was built from: its name, input and classes."""

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

_ATTRIBUTE = "secateur_architecture"


@dataclass(frozen=True)
class Architecture:
    """How to build a network anew, without its weights: what `model.json` records."""

    name: str
    channels: int
    classes: int
    size: tuple[int, int]
    arguments: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"size": list(self.size)}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> "Architecture":
        return Architecture(**(data | {"size": tuple(data["size"])}))


def architecture(model: nn.Module) -> Architecture:
    """The architecture that `build` made `model` from."""
    found = getattr(model, _ATTRIBUTE)
    assert isinstance(found, Architecture)
    return found


def attached(model: nn.Module, arch: Architecture) -> nn.Module:
    """`model`, which from now on says that `arch` is how to build it."""
    setattr(model, _ATTRIBUTE, arch)
    return model
