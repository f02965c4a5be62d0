"""The floor plan: which rooms stand on which floor. `tools.docs` prints it into the docs, `test_floors` holds it."""

FLOORS: dict[str, tuple[str, ...]] = {
    "engine": (
        # what everything is written with
        "errors text",
        # what can be said in a preset, declared once
        "params",
        # what is measured, what is kept, what the machine is
        "measures store machine",
        # images and users' code on disk; the scheduler; what a user prefers
        "datasets sources slurm config",
        # drawing; preset text → validated trials
        "plotting presets",
        # one preset being run: plan, jobs, events, state, folder
        "studies",
        # what a study found
        "results",
        "charts",
        # which trials a search tries, and which it takes; studies told on paper
        "search reports",
        # the work itself; the only room with torch
        "compute",
        # from a preset to its last event
        "runner testing",
        "cli",
    ),
    "engine.compute": (
        "numerics memory stopping usercode",
        "layers",
        "data onnx measures yolo",
        "models",
        "tasks",
        "context runtimes pretrained",
        "training latency export",
        "steps",
        "checkup",
        "worker",
    ),
    "engine.compute.steps": (
        "calibration rates",
        "training pruning clustering factorization distillation quantization",
        "channels",
        "sensitivity",
        "apply",
        "fits",
    ),
    "tui": (
        "patches keys themes",
        "columns",
        "work lab",
        "session",
        "widgets",
        "views",
        "screens",
        "app",
        "__main__",
    ),
}
"""Of each house its rooms (modules or packages), from the lowest floor up. A room imports only from lower floors of
its house, never from its own floor. Imports in functions and for type checkers count: a lazy import may save time at
the start, it never changes direction."""

NOT_FOR: dict[str, str] = {"engine.compute": "plotting presets charts reports"}
"""Rooms below that a house must do without all the same: steps know neither YAML nor pictures."""

LOOSE: dict[str, str] = {
    "engine": "errors",
    "engine.compute": "context memory stopping",
    "engine.compute.steps": "apply fits rates sensitivity training",
    "tui": "__main__ app columns session themes",
}
"""Modules that stand in a house without a package of their own; every other file has a room."""


def level(house: str) -> dict[str, int]:
    """The floor of each room of `house`, 0 at the bottom."""
    return {room: number for number, rooms in enumerate(FLOORS[house]) for room in rooms.split()}
