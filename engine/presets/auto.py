"""`search.over: auto`: the steps that suit a goal, with ranges wide enough to be searched."""

from typing import Any

from engine.params.preset import Settings
from engine.params.runtimes import INT8_RUNTIMES
from engine.params.search import Search
from engine.presets.boxes import has_boxes

CHANNELS: dict[str, Any] = {"prune.channels": {"speedup": "1..8", "criterion": ["l2", "taylor"]}}
"""What every goal can use: less to compute, to store and to wait for."""
WEIGHTS: list[dict[str, Any]] = [
    {"prune.weights": {"enabled": [True, False], "sparsity": "0.3..0.95"}},
    {"quantize.weights": {"bits": "3..8", "enabled": [True, False]}},
]
"""What makes a file smaller and no runtime faster."""
STATIC: dict[str, Any] = {"quantize.static": {"enabled": [True, False]}}
EPOCHS = "1..8"


def over(search: Search, settings: Settings) -> list[dict[str, Any]]:
    """The steps, as a preset has them; a detector learns again from its labels, a classifier from the baseline."""
    recover = {"finetune" if has_boxes(settings) else "distill": {"epochs": EPOCHS}}
    steps = [CHANNELS]
    if search.goal.startswith("size.") or any(name.startswith("size.") for name in search.within):
        steps += WEIGHTS
    steps.append(recover)
    if search.fastest is not None and search.fastest.runtime in INT8_RUNTIMES:
        # What leaves a file can't hold weights of few bits beside it: that step is off where this one is on.
        steps = [step for step in steps if "quantize.weights" not in step]
        steps.append(STATIC)
    return steps
