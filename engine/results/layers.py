"""What steps made of each layer, from what they report: clusters, codebooks, grids, factors, precisions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from engine.studies.state import StepState, TrialState
from engine.text.numbers import percent


@dataclass(frozen=True)
class LayerForm:
    """What one step made of a layer's weights, in few words; `lost` is the share of their energy that went, or of the
    network's outputs where a layer was quantized with its activations."""

    text: str
    lost: float | None = None

    @property
    def loss(self) -> str:
        return "" if self.lost is None else percent(self.lost, 1)


Forms = dict[str, tuple[LayerForm, ...]]
"""By a layer's name, in the order of the steps."""


def of_trial(trial: TrialState) -> Forms:
    """What the trial's steps made of its layers, as far as later steps left it so."""
    by_layer: dict[str, list[tuple[str, LayerForm]]] = {}
    for step in trial.steps:
        if step.kind == "prune.channels":  # makes plain weights of all that shares them
            by_layer = {name: [one for one in forms if one[0] in LASTING] for name, forms in by_layer.items()}
        for name, what, form in _reported(step):
            by_layer.setdefault(name, []).append((what, form))
    return {name: tuple(form for _, form in forms) for name, forms in by_layer.items() if forms}


def of_layer(forms: Forms, name: str) -> tuple[LayerForm, ...]:
    """Those of one layer, which may be a part of the chain that a factorized one became."""
    own = name.removesuffix(".weight")
    parents = [own[:at] for at, letter in enumerate(own) if letter == "."]
    return tuple(form for one in (*parents, own) for form in forms.get(one, ()))


def words(forms: tuple[LayerForm, ...]) -> str:
    """What became of a layer."""
    return ", ".join(form.text for form in forms)


def losses(forms: tuple[LayerForm, ...]) -> str:
    """The energy lost in each step."""
    return ", ".join(form.loss for form in forms if form.loss)


def rows(forms: Forms) -> list[list[str]]:
    """A row for each layer of which something was made: name, words, losses."""
    return [[name, words(own), losses(own)] for name, own in forms.items()]


def _clusters(row: dict[str, Any]) -> str:
    return f"{row.get('method', 'filters')} {int(row['filters'])}→{int(row['clusters'])}"


def _dictionary(row: dict[str, Any]) -> str:
    return f"kernels {int(row['kernels'])}→{int(row['entries'])}"


def _codebook(row: dict[str, Any]) -> str:
    what = "values" if int(row["width"]) == 1 else f"×{int(row['width'])} vectors"
    return f"{int(row['centroids'])} {what} {float(row['bits']):.1f} bits"


def _factors(row: dict[str, Any]) -> str:
    ranks = [int(rank) for rank in row["ranks"]]
    return f"rank {'×'.join(map(str, ranks))}"


def _grid(row: dict[str, Any]) -> str:
    return f"{int(row['bits'])} bits"


def _precision(row: dict[str, Any]) -> str:
    return str(row["precision"])


REPORTS: dict[str, tuple[Callable[[dict[str, Any]], str], str]] = {
    "clusters": (_clusters, "distortion"),
    "dictionaries": (_dictionary, "distortion"),
    "codebooks": (_codebook, "distortion"),
    "factors": (_factors, "distortion"),
    "rounding": (_grid, "lost"),
    "precision": (_precision, "deviation"),
}
"""By the name of a step's report: the words for one of its rows, and what the row calls the loss."""
LASTING = ("merged", "factors")


def _reported(step: StepState) -> Iterator[tuple[str, str, LayerForm]]:
    """Layer, what kind of form it got, and the form; rows that can't be understood are left out."""
    for report, (word, loss) in REPORTS.items():
        rows = step.measures.get(report) if isinstance(step.measures, dict) else None
        for row in rows if isinstance(rows, list) else ():
            try:
                lost = row.get(loss)
                form = LayerForm(word(row), None if lost is None else float(lost))
                yield str(row["name"]), str(row.get("method", report)), form
            except (AttributeError, KeyError, TypeError, ValueError):
                continue
