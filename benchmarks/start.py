"""How long a study takes until its first training begins, and how much of that its check-up and its first line cost.

    python -m benchmarks.start [--preset quickstart] [--rounds 3]

Each round runs the preset in a new workspace until its first step has begun; then, in the same workspace and with
another seed, without what the check-up found but with the graph that it exported; and then with both. The first less
the last is what the study waits for. The second less the last is what the check-up costs in the end: the graph is kept,
and the study's first latency or INT8 file has to have it anyway (`tests/engine/compute/models/test_alike.py`).
Results: benchmarks/results/start.json.
"""

import argparse
import json
import statistics
import sys
import time

from benchmarks import results
from benchmarks.fault_lab import ENDED, Workspace
from engine.machine import private
from engine.store.objects import Store
from engine.studies.checkup import CHECKUP

TITLE = "From a study's start to its first training"
CHECK_UP, NET = "of it the check-up (s)", "without the graph (s)"
WITHIN_S = 120.0
"""A study that has not begun a step by then is stuck."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="quickstart")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    rows = []
    for _ in range(args.rounds):
        with private.scratch() as folder:
            work = Workspace(folder)
            checked = seconds_to_first_step(work, args.preset, 0)
            forget_check_ups(work)
            traced, known = (seconds_to_first_step(work, args.preset, seed) for seed in (1, 2))
        rows.append(
            {
                "nothing known (s)": checked,
                "graph known (s)": traced,
                "check-up known (s)": known,
                CHECK_UP: checked - known,
                NET: traced - known,
            }
        )
        print("  ".join(f"{name}: {value:.2f}" for name, value in rows[-1].items()), flush=True)
    waited, net = (statistics.median(row[name] for row in rows) for name in (CHECK_UP, NET))
    print(f"check-up and first line of {args.preset}: {waited:.2f} s (median of {len(rows)})")
    print(f"without the graph, which the study's first export has for it: {net:.2f} s")
    about = (
        f"{args.preset}, a round a row. The graph is kept: the study's first export has to have it anyway."
    )
    results.write("start", rows, title=TITLE, about=about)
    return 0


def forget_check_ups(work: Workspace) -> None:
    """Remove what check-ups found; the graphs that they exported stay."""
    store = Store(work.home / "store")
    for file in store.root.glob("objects/*/*/object.json"):
        meta = json.loads(file.read_text())
        if meta["kind"] == CHECKUP:
            store.remove(meta["key"])


def seconds_to_first_step(work: Workspace, preset: str, seed: int) -> float:
    """From the engine's first word to the first step that it begins to compute."""
    started = work.call("run", preset, "--set", f"seed={seed}", "--detach")
    study = started["study"]
    deadline = time.monotonic() + WITHIN_S
    while (times := _times(work, study)) is None:
        if time.monotonic() > deadline or work.state(study) in ENDED:
            raise SystemExit(f"{study} has begun no step: {work.state(study)}")
        time.sleep(0.05)
    work.call("cancel", study)
    while work.processes():
        time.sleep(0.05)
    return times


def _times(work: Workspace, study: str) -> float | None:
    events = [
        json.loads(line) for line in work.study(study).events.read_bytes().splitlines(keepends=True)[:-1]
    ]
    begun = next((event["time"] for event in events if event["event"] == "step-started"), None)
    return None if begun is None else float(begun - events[0]["time"])


if __name__ == "__main__":
    sys.exit(main())
