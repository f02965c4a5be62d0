"""Steps as they are tried before anything is trained, where the layers that they leave count and not their weights."""

from typing import Any

from engine.params import STEPS, Step
from engine.params.quantization import Calibration

CHEAP: dict[str, Any] = {
    "repair": False,
    "calibrate": False,
    "images": 16,
    "restarts": 1,
    "equalize": "off",
    "bias_correction": "off",
}
"""Parameters that cost time and change no amount."""
LEFT_OUT = ("criterion", "schedule", "learning", "rounding", "clip", "mixed")
"""Parameters whose default is cheap, and that change no amount."""


def cheap(step: Step) -> dict[str, Any]:
    """A step as plain values, without what costs time and changes no amount."""
    given = step.model_dump(mode="json", exclude_unset=True)
    kept = {name: value for name, value in given.items() if name not in LEFT_OUT}
    known = {name: value for name, value in CHEAP.items() if name in STEPS[step.kind].model_fields}
    if "rounding" in STEPS[step.kind].model_fields:
        known["rounding"] = {"kind": "nearest"}
    if isinstance(step, Calibration):
        known["method"] = {"kind": "minmax"}
    return {"kind": step.kind, **kept, **known}
