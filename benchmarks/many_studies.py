"""How long the commands that only look take, with a thousand studies in the workspace.

    python benchmarks/many_studies.py [--studies 1000] [--events 200]

Prints the median of five runs of each command, from the start of the process to its end.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from engine.machine import private
from engine.testing import folders as fabricate

HOME = Path(__file__).resolve().parent.parent

REPEATS = 5
PROGRAM = "import sys; from engine.cli.main import main; sys.exit(main())"
COMMANDS: tuple[tuple[str, float], ...] = (
    ("list", 0.5),
    ("list --json", 0.5),
    ("show latest", 0.4),
    ("presets", 0.4),
    ("params", 0.4),
    ("params prune.weights", 0.4),
    ("--help", 0.4),
)
"""Each with the seconds that are the goal."""


def seconds(command: str, workspace: Path) -> float:
    """One run's wall time."""
    environment = {**os.environ, "SECATEUR_HOME": str(workspace)}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", PROGRAM, *command.split()],
        cwd=HOME,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--events", type=int, default=200, help="of each study")
    args = parser.parse_args()
    with private.scratch() as workspace:
        fabricate.listed(workspace, args.studies, args.events)
        print(f"{args.studies} studies of {args.events} events; load {os.getloadavg()[0]:.1f}")
        print(f"{'command':<24}{'median s':>10}{'fastest s':>11}{'goal s':>8}{'ratio':>8}")
        for command, goal in COMMANDS:
            seconds(command, workspace)
            times = [seconds(command, workspace) for _ in range(REPEATS)]
            median = statistics.median(times)
            print(f"{command:<24}{median:>10.2f}{min(times):>11.2f}{goal:>8.1f}{median / goal:>8.2f}")


if __name__ == "__main__":
    main()
