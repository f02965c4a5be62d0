"""Random faults on a real Slurm cluster of virtual nodes: what is lost, what is computed twice, and are the bits equal?

    python -m benchmarks.slurm_faults [--faults 200] [--seed 0] [--search]

A study is disturbed until it is done, resumed whenever it is over without being done, and compared with an undisturbed
local run; then the next one begins, in a workspace of its own, until so many faults have been made. Prints a line for
each study and a table at the end. Needs `apt-get install slurm-wlm munge`.
"""

import argparse
import collections
import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.fault_lab import SEARCH
from engine.slurm import queue
from engine.studies.rundir import RunDir
from tests.study_lab import Lab, processes_of
from tools import slurm_cluster
from tools.slurm_cluster import Cluster

PRESET = """\
seed: 0
threads: 1
device: cpu
model: {name: resnet20, arguments: {width: 4}}
data: {name: digits, limit: 200}
steps:
  - train: {epochs: 10, batch: 32}
  - prune.weights: {sparsity: 0.5}
  - finetune: {epochs: 6, batch: 32}
sweep:
  prune.weights.sparsity: [0.3, 0.5, 0.7, 0.9]
"""
SEARCHING = (
    """\
seed: 0
threads: 1
device: cpu
model: {name: resnet20, arguments: {width: 4}}
data: {name: digits, limit: 200}
steps:
  - train: {epochs: 4, batch: 32}
"""
    + SEARCH
    + """\
    - prune.weights: {sparsity: 0.2..0.95}
    - finetune: {epochs: 2..4, batch: 32}
"""
)
"""With --search: its rounds have to be the same ones too."""
PATIENCE_S = 240.0
"""A study that has not moved on for so long hangs."""


class Bench:
    """A cluster, and the study that is being disturbed on it."""

    def __init__(self, cluster: Cluster, drawn: random.Random) -> None:
        self.cluster, self.drawn = cluster, drawn
        self.made: collections.Counter[str] = collections.Counter()
        self.faults: dict[str, Callable[[], bool]] = {
            "scancel of a task": lambda: self._on_task("scancel"),
            "scancel of the study": self._cancel_all,
            "requeue of a task": lambda: self._on_task("scontrol", "requeue"),
            "warning of the limit (USR1)": lambda: self._on_task("scancel", "--signal=USR1", "--batch"),
            "SIGKILL of a worker": lambda: self._kill("worker"),
            "SIGKILL of a task": lambda: self._kill("task"),
            "SIGKILL of everything": self._kill_all,
            "slurmd killed, started again": self._node,
            "slurmctld stopped, started again": lambda: self._controller(signal.SIGTERM),
            "slurmctld killed, started again": lambda: self._controller(signal.SIGKILL),
        }
        self.lab = Lab(Path("/nonexistent"))

    def disturb(self) -> None:
        """Make one fault of a random kind, if there is something to make it to."""
        kind = self.drawn.choice(list(self.faults))
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            if self.faults[kind]():
                self.made[kind] += 1

    def _running(self) -> list[str]:
        return self.cluster.ask("squeue", "-h", "-t", "R", "-o", "%i").split()

    def _on_task(self, *command: str) -> bool:
        running = self._running()
        if running:
            self.cluster.ask(*command, self.drawn.choice(running))
        return bool(running)

    def _cancel_all(self) -> bool:
        running = self._running()
        self.cluster.ask("scancel", "-u", str(os.getuid()))
        return bool(running)

    def _kill(self, name: str) -> bool:
        every = processes_of(self.lab.workspace)
        servers = {process for process, command in every.items() if "forkserver" in command}
        workers = [process for process in servers if _parent(process) in servers]
        tasks = [process for process, command in every.items() if "engine.runner.task" in command]
        processes = workers if name == "worker" else tasks
        if processes:
            os.kill(self.drawn.choice(processes), signal.SIGKILL)
        return bool(processes)

    def _kill_all(self) -> bool:
        processes = processes_of(self.lab.workspace)
        for process in processes:
            os.kill(process, signal.SIGKILL)
        return bool(processes)

    def _node(self) -> bool:
        name = self.drawn.choice(self.cluster.names)
        self.cluster.kill_node(name)
        time.sleep(self.drawn.uniform(0, 3))
        self.cluster.start_node(name)
        # Slurm drains a node on which a job of before still runs; an administrator would let it go on.
        self.cluster.ask("scontrol", "update", f"NodeName={name}", "State=RESUME")
        return True

    def _controller(self, number: signal.Signals) -> bool:
        self.cluster.kill_controller(number)
        time.sleep(self.drawn.uniform(0, 3))
        self.cluster.start_controller()
        return True


def _parent(process: int) -> int:
    """A worker's is the server that it was forked from."""
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def disturbed(bench: Bench, lab: Lab, preset: str, most: int, seed: int) -> dict[str, int]:
    """One study to its end with up to `most` faults; how it went."""
    bench.lab = lab
    before = sum(bench.made.values())
    options = ("--set", "executor.slurm={time: 10}", "--set", f"seed={seed}")
    run = lab.study(lab.json("run", lab.preset(preset), *options, "--detach")["study"])
    resumed, finished, lost, moved = 0, set[str](), 0, time.monotonic()
    while True:
        time.sleep(bench.drawn.uniform(0.2, 3.0))
        state = look(run)
        done = set(lab.computed(run.name))
        lost += sum(
            Path(lab.workspace / "store" / "objects" / key[:2] / key).is_dir() is False for key in done
        )
        if done - finished:
            finished, moved = done, time.monotonic()
        if state == "done":
            break
        if state in ("lost", "failed", "cancelled"):
            lab.call("resume", run.name, "--detach")
            resumed, moved = resumed + 1, time.monotonic()
        elif time.monotonic() - moved > PATIENCE_S:
            print("hangs:", bench.cluster.ask("squeue"), flush=True)
            bench.cluster.ask("scancel", "-u", str(os.getuid()))
            moved = time.monotonic()
        elif sum(bench.made.values()) - before < most:
            bench.disturb()
    computed = lab.computed(run.name)
    return {
        "faults": sum(bench.made.values()) - before,
        "resumed": resumed,
        "attempts": len(lab.state(run.name).tasks),
        "lost": lost,
        "twice": len(computed) - len(set(computed)),
        "steps": len(set(computed)),
    }


def look(run: RunDir) -> str:
    queue.forget()
    return run.read_status().state


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--each", type=int, default=12, help="faults of one study at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--search", action="store_true", help="disturb searches")
    args = parser.parse_args()
    preset = SEARCHING if args.search else PRESET
    if why := slurm_cluster.missing():
        raise SystemExit(why)
    folder = Path(tempfile.mkdtemp(prefix="slf-"))
    cluster = Cluster(folder / "c", nodes=2, cpus=1, node_timeout=10)
    os.environ.update({**cluster.variables, "XDG_CACHE_HOME": str(folder / "cache")})
    bench = Bench(cluster, random.Random(args.seed))
    rows: list[dict[str, int]] = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no cluster outlives a benchmark that is ended
    try:
        with cluster:
            while sum(bench.made.values()) < args.faults:
                local, lab = (Lab(folder / f"{kind}{len(rows)}", 600, warm=False) for kind in ("l", "s"))
                local.folder.mkdir()
                lab.folder.mkdir()
                local.json("run", local.preset(preset), "--set", f"seed={len(rows)}")
                most = min(args.each, args.faults - sum(bench.made.values()))
                row = disturbed(bench, lab, preset, most, len(rows))
                row["different"] = sum(lab.objects().get(k) != v for k, v in local.objects().items())
                row["other_rounds"] = int(local.proposals("p-1") != lab.proposals("p-1"))
                rows.append(row)
                print(f"study {len(rows)}:", ", ".join(f"{n} {v}" for n, v in row.items()), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for kind, count in bench.made.most_common():
        print(f"{count:5d}  {kind}")
    total = {name: sum(row[name] for row in rows) for name in rows[0]}
    print(f"{len(rows)} studies:", ", ".join(f"{name} {value}" for name, value in total.items()))


if __name__ == "__main__":
    main()
