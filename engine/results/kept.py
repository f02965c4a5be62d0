"""The pick as `status.json` keeps it, for lists of studies: nothing else is read for it."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.errors import SecateurError
from engine.measures.table import QUALITIES, measure_text
from engine.studies.rundir import RunDir
from engine.studies.status import Status
from engine.text.numbers import MISSING, ratio

if TYPE_CHECKING:
    from engine.results.pick import Asked


def repicked(run: RunDir, status: Status, asked: "Asked") -> Status:
    """A study's status with the pick that it has by what is `asked` for; as it is where that is nothing else."""
    if asked is None:
        return status
    if not isinstance(asked, tuple) and status.pick.get("allowed", asked / 100) == asked / 100:
        return status
    from engine.results.pick import as_json, asked_for
    from engine.studies.state import MALFORMED, load

    try:
        return replace(status, pick=as_json(asked_for(load(run.path), run.settings(), asked)))
    except (SecateurError, *MALFORMED):  # whoever opens it is told; the list shows the pick that is kept
        return status


def cell(kept: dict[str, Any]) -> str:
    """The pick of `as_json` for a list of studies: `#11 96.94 % 4.4×`, of several seeds `#11 95.8 ± 1.6 % 4.4×`; one
    that loses too much ends in `!`.

    Without a quality where none was scored on the test split, as of a search's candidates.
    """
    shown = [(name, kept[name]) for name in QUALITIES if name in kept]
    if not shown:
        return MISSING
    name, value = shown[0]
    times = kept.get("times")
    scored = isinstance(value, int | float)
    text = measure_text(name, *kept.get(f"{name}_over_seeds", [value]))
    quality = text if name == QUALITIES[0] else f"mAP {text}"
    parts = [
        f"#{kept['index']}" if "index" in kept else "",
        quality if scored else "",
        ratio(times) if isinstance(times, int | float) else "",
    ]
    return " ".join(filter(None, parts)) + ("" if kept.get("within", True) else " !")
