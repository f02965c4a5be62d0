"""How long a study takes until its first training begins, and how much of that its check-up and its first line cost.

    python -m benchmarks.start [--preset quickstart] [--rounds 3]

Each round runs the preset in a new workspace until its first step has begun, and then, in the same workspace, with
another seed: what the check-up found is known by then, and everything else is done again. The difference is the cost of
looking at the data and trying the networks. Results: benchmarks/results/start.json.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import results
from benchmarks.fault_lab import ENDED, Workspace

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
        with tempfile.TemporaryDirectory(prefix="secateur-start-") as folder:
            work = Workspace(Path(folder))
            checked, known = (seconds_to_first_step(work, args.preset, seed) for seed in (0, 1))
        rows.append({"checked_s": checked, "known_s": known, "check_up_s": checked - known})
        print("  ".join(f"{name[:-2]} {value:.2f} s" for name, value in rows[-1].items()), flush=True)
    cost = statistics.median(row["check_up_s"] for row in rows)
    print(f"check-up and first line of {args.preset}: {cost:.2f} s (median of {len(rows)})")
    results.write("start", rows, preset=args.preset, check_up_s=cost)
    return 0


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
