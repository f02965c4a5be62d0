"""A graph kept of one network is, bit for bit, what another of its kind with other widths is exported as."""

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from engine.compute.models import edits
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.onnx import export as exporting
from engine.compute.onnx.export import export
from engine.compute.steps.channels.narrower import shrinkable
from engine.compute.steps.channels.shrink import shrink

SHAPE = (3, 8, 8)


class Mixed(nn.Module):
    """All places where widths stand: groups, a gate, a sum, a concatenation, a flattening, linear layers."""

    def __init__(self, width: int, inner: int, hidden: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU6())
        self.deep = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.squeezed, self.gate = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 1)
        self.beside = nn.Conv2d(width, inner, 1)
        self.head = nn.Sequential(
            nn.Linear((width + inner) * 16, hidden), nn.Hardswish(), nn.Linear(hidden, 5)
        )

    def forward(self, images: Tensor) -> Tensor:
        first = self.stem(images)
        gate = self.gate(self.squeezed(first.mean((2, 3), keepdim=True)).relu()).sigmoid()
        both = torch.cat([first + gate * self.deep(first), self.beside(first)], 1)
        output: Tensor = self.head(nn.functional.max_pool2d(both, 2).flatten(1))
        return output


def kept_and_alone(model: nn.Module, kept: Path, folder: Path) -> list[bytes]:
    """The file made without an export of what is `kept`, and the one that is exported."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(exporting, "_traced", None)
        made = export(model, SHAPE, folder / "made.onnx", templates=kept, any_width=True, pack=False)
    alone = export(model, SHAPE, folder / "alone.onnx", pack=False)
    return [made.read_bytes(), alone.read_bytes()]


def keep(model: nn.Module, folder: Path) -> Path:
    export(model, SHAPE, folder / "first.onnx", templates=folder / "kept", any_width=True, pack=False)
    return folder / "kept"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return keep(Mixed(12, 4, 10).eval(), tmp_path_factory.mktemp("mixed"))


@settings(max_examples=4)
@given(width=st.integers(2, 40), inner=st.integers(2, 40), hidden=st.integers(2, 40))
def test_a_network_of_other_widths_is_exported_as_it_would_be_alone(
    mixed: Path, width: int, inner: int, hidden: int
) -> None:
    made, alone = kept_and_alone(Mixed(width, inner, hidden).eval(), mixed, mixed.parent)
    assert made == alone


def test_what_pruning_leaves_is_exported_as_it_would_be_alone(tmp_path: Path) -> None:
    whole, groups = shrinkable(build(Architecture("resnet8", 3, 10, SHAPE[1:], {}, 0)).eval(), ())
    pruned = copy.deepcopy(whole)
    with edits.resized(pruned):
        shrink(pruned, groups, {one.name: torch.arange(one.units // 3) for one in groups})
    made, alone = kept_and_alone(pruned, keep(whole, tmp_path), tmp_path)
    assert made == alone


class Sliced(nn.Module):
    """One that computes by its width, in a way that its layers do not say."""

    def __init__(self, width: int, kind: str) -> None:
        super().__init__()
        self.stem, self.head, self.kind = nn.Conv2d(3, width, 1), nn.Conv2d(width, 5, 1), kind
        self.norm = nn.GroupNorm(2, width) if kind == "norm" else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        stem: Tensor = self.norm(self.stem(images))
        match self.kind:
            case "scale":
                stem = stem * stem.shape[1] ** -0.5
            case "halves":
                stem = torch.cat(stem.chunk(2, 1)[::-1], 1)
            case "mean":
                stem = stem - stem.mean(1, keepdim=True)
        head: Tensor = self.head(stem)
        return head.mean((2, 3))


@pytest.mark.parametrize("kind", ["norm", "scale", "halves", "mean"])
def test_where_a_width_may_stand_elsewhere_each_is_exported_by_itself(kind: str, tmp_path: Path) -> None:
    for number, width in enumerate((8, 6), 1):
        assert len(list(keep(Sliced(width, kind).eval(), tmp_path).iterdir())) == number


def test_only_of_known_code_one_graph_serves_other_widths(tmp_path: Path) -> None:
    for width in (8, 6):
        export(nn.Conv2d(3, width, 1), SHAPE, tmp_path / "a.onnx", templates=tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == 2
