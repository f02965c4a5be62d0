"""Quick forms of benchmarks: `python -m tools.quick_benchmarks [NAME ...]`; exit code 1 where a claim does not hold.

`make test` runs them behind the tests, each in a process of its own as a user starts it, because what they measure
takes minutes of its own and does not belong into the processes that run the tests. What a claim is, and how much worse
than the whole benchmark's goal it may be, stands in each of them.
"""

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.results import UNJUDGED
from engine import datasets
from engine.errors import SecateurError
from engine.params.preset import Data
from tools import slurm_cluster

ACCURACY = (
    "channels",
    "detection",
    "distillation",
    "transformers",
    "without_training",
    "scopes",
    "search",
    "knob",
    "deep_compression",
    "sparse",
    "merged_filters",
    "published",
    "low_bits",
    "int8",
    "qat",
    "walk_int8",
    "walk_channels",
    "bring",
    "packed",
    "presets",
    "slurm_faults",
)
"""Those whose claims do not depend on what else computes, the longest first: two run at a time."""
TIMED = ("bf16", "solver", "predicted_latency", "latency_target")
"""Those that time something: each runs alone."""
ENDS = {0: "holds", UNJUDGED: "NOT JUDGED, others kept the machine busy"}
"""What a benchmark that does not fail found, by its exit code."""
OF_FASHION_MNIST = ("knob", "predicted_latency")
"""Those whose images come with a package of the system."""


def lacks(name: str) -> str:
    """Why a benchmark can't run on this machine; empty if it can."""
    if name == "slurm_faults":
        return slurm_cluster.missing()
    if name in OF_FASHION_MNIST:
        try:
            datasets.locate(Data(name="fashion-mnist"), Path())
        except SecateurError as error:
            return error.title
    return ""


def holds(name: str) -> bool:
    """Whether the benchmark ends well, or can't run here; its output is printed where not."""
    if why := lacks(name):
        print(f"{name}: left out, {why}", flush=True)
        return True
    started = time.monotonic()
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    good = done.returncode in ENDS
    print(
        f"{name}: {ENDS.get(done.returncode, 'DOES NOT HOLD')} ({time.monotonic() - started:.0f} s)",
        flush=True,
    )
    if not good:
        print(done.stdout, done.stderr, sep="\n", flush=True)
    return good


def main() -> int:
    """Run those that are named, or all of them, also behind one that fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    every = [*ACCURACY, *TIMED]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(every))
    wanted = parser.parse_args().names or every
    if unknown := [name for name in wanted if name not in every]:
        parser.error(f"{', '.join(unknown)}: not among {', '.join(every)}")
    with ThreadPoolExecutor(2) as two:
        good = list(two.map(holds, [name for name in ACCURACY if name in wanted]))
    good += [holds(name) for name in TIMED if name in wanted]
    return int(not all(good))


if __name__ == "__main__":
    sys.exit(main())
