"""Studies made of fabricated events, for tests of what is drawn from them."""

from collections.abc import Iterable
from typing import Any

from engine.studies import events as ev
from engine.studies.state import StudyState

ENVIRONMENT = {"host": "login1", "packages": {"torch": "2.14.1"}, "cpu": {"model": "A", "flags": ["avx2"]}}


def measures(accuracy: float, nonzero: int = 100, sparsity: float = 0.0, **more: Any) -> dict[str, Any]:
    """What a trial's last measuring gives, the numbers that tests look at being free to choose."""
    return {
        "accuracy": accuracy,
        "validation_accuracy": accuracy,
        "loss": 1 - accuracy,
        "agreement": 1.0,
        "parameters": 100,
        "nonzero_parameters": nonzero,
        "sparsity": sparsity,
        "size": {"plain": 400, "packed": 4 * nonzero},
        **more,
    }


def started(name: str = "s-1", **changes: Any) -> ev.StudyStarted:
    values: dict[str, Any] = {"preset": "s", "host": "login1", "pid": 7, "environment": ENVIRONMENT}
    return ev.StudyStarted(study=name, **(values | changes))


def planned(parameters: Iterable[dict[str, Any]], *, latency: bool = False) -> ev.Planned:
    """Trials that share a training `t` (measured in `tm`) and prune (`p0`, `p1` …) it each for themselves."""
    trials = [
        {
            "index": index,
            "parameters": values,
            "steps": [
                {"key": "t", "kind": "train", "address": "train"},
                {"key": f"p{index}", "kind": "prune.weights", "address": "prune.weights"},
            ],
            "measure": f"m{index}",
            "latency": f"l{index}" if latency else None,
            "baseline": "t",
            "baseline_measure": "tm",
        }
        for index, values in enumerate(parameters)
    ]
    return ev.Planned(trials=trials, devices={"device": "cpu", "threads": 1})


def began(key: str, kind: str = "step") -> ev.StepStarted:
    return ev.StepStarted(key=key, kind=kind)


def finished(key: str, found: dict[str, Any] | None = None, **changes: Any) -> ev.StepFinished:
    values: dict[str, Any] = {"kind": "step", "reused": False, "seconds": 2.0}
    return ev.StepFinished(key=key, measures=found or {}, **(values | changes))


def epoch(key: str, number: int, of: int = 3) -> ev.EpochFinished:
    return ev.EpochFinished(
        key=key,
        epoch=number,
        epochs=of,
        loss=1 / number,
        validation_loss=1 / number,
        measures={"validation_accuracy": 0.5},
        learning_rate=0.1,
        seconds=1.0,
    )


def replayed(*events: ev.Event) -> StudyState:
    state = StudyState()
    for event in events:
        state.apply(event)
    return state


def study(
    *trials: tuple[dict[str, Any], dict[str, Any] | None],
    name: str = "s-1",
    baseline: dict[str, Any] | None = None,
) -> StudyState:
    """A study with these parameters and measures (None: not finished); its baseline has accuracy 0.9 unless given."""
    events: list[ev.Event] = [started(name), planned(parameters for parameters, _ in trials)]
    events += [finished("t"), finished("tm", baseline or measures(0.9))]
    for index, (_, results) in enumerate(trials):
        if results is not None:
            events += [finished(f"p{index}"), finished(f"m{index}", results)]
    return replayed(*events)
