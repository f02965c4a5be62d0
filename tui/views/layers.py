"""A model's layers before and after, as rows of a table: pure functions of what the store holds."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from engine.results.network import Layer, shape
from engine.text.bars import bar
from engine.text.numbers import count, percent
from tui.widgets.painted import Span
from tui.widgets.table import Column, Row

COLUMNS = (
    Column("layer", widest=40),
    Column("type", rank=8, widest=14),
    Column("shape", rank=7, widest=18),
    Column("before", "right", rank=2),
    Column("after", "right"),
    Column("sparsity", "right"),
    Column("MACs", "right", rank=4),
    Column("effective", "right", rank=3),
    Column("of MACs", "right", rank=5),
    Column("kept", widest=60, rank=1),
)
FORMS = (Column("made of it", "right"), Column("lost", "right", rank=1))
"""Columns beside these where clustering, codebooks, factorization or rounding left something to tell; `lost` is the
share of the weights' energy. To the right, so that they are shown whole."""
SHAPE, SPARSITY = 2, 5
"""Places of columns."""
SHARE_CELLS = 5
"""Length of the bar of a share."""


def ordered(layers: Sequence[Layer], by: str, reverse: bool) -> list[Layer]:
    """The layers in the model's order, or the largest first."""
    keys = {
        "order": lambda layer: layer.place,
        "parameters": lambda layer: -layer.nonzero,
        "MACs": lambda layer: -layer.macs,
        "sparsity": lambda layer: -layer.sparsity,
    }
    return sorted(layers, key=keys[by], reverse=reverse)


def headed(layers: Sequence[Layer], by: str) -> list[Column]:
    """The columns, an arrow at the one sorted by; shapes are worth their room where they changed."""
    label = {"parameters": "after"}.get(by, by)
    shown = [replace(c, label=f"{c.label}↓") if c.label == label else c for c in COLUMNS]
    if any(layer.changed for layer in layers):
        shown[SHAPE] = replace(shown[SHAPE], rank=2, widest=26)
    removed = _removed(layers)
    heads = ["≤ 1 point"] if len(removed) == 1 else [f"≤ 1 pt {of}" for of in removed]
    made: tuple[Column, ...] = ()
    if _formed(layers):  # more to tell than what is zero, and than a bar
        made = FORMS
        shown[SPARSITY], shown[-1] = replace(shown[SPARSITY], rank=2), replace(shown[-1], rank=3)
    return [*shown[:-1], *(Column(head, "right", rank=1) for head in heads), *made, shown[-1]]


def _formed(layers: Sequence[Layer]) -> bool:
    """Whether a step made something of a layer that its shape does not tell."""
    return any(layer.forms for layer in layers)


def _removed(layers: Sequence[Layer]) -> list[str]:
    """What sensitivity steps removed."""
    return list(dict.fromkeys(of for layer in layers for of in layer.within))


def rows(layers: Sequence[Layer]) -> Iterable[Row]:
    """Table rows; the bar's length is the layer's parameters before, its filled part those that are left."""
    largest = max((layer.before for layer in layers), default=1) or 1
    total = sum(layer.macs for layer in layers) or 1
    removed, formed = _removed(layers), _formed(layers)
    for layer in layers:
        yield Row(
            f"{layer.place} {layer.name}",
            (
                layer.name.removesuffix(".weight"),
                (layer.type, "muted"),
                (shape(layer), "" if layer.changed else "muted"),
                count(layer.before),
                count(layer.nonzero),
                percent(layer.sparsity, 1),
                count(layer.macs),
                count(layer.effective_macs),
                percent(layer.macs / total, 1),
                *(_share(layer.within.get(of)) for of in removed),
                *((layer.forms, layer.lost) if formed else ()),
                partial(_kept, layer.nonzero / largest, layer.before / largest),
            ),
        )


def _kept(left: float, before: float, width: int) -> Span:
    return bar(left, width, before), "bar"


def _share(share: float | None) -> str:
    return "" if share is None else f"{percent(share, 0)} {bar(share, SHARE_CELLS)}"
