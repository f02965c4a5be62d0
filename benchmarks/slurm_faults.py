"""Random faults on a real Slurm cluster of virtual nodes: what is lost, what is computed twice, and are the bits equal?

    python -m benchmarks.slurm_faults [--faults 200] [--seed 0] [--search] [--folder DIR]

A study is disturbed until it is done, resumed whenever it is over without being done, and compared with an undisturbed
local run; then it begins again in an empty workspace, until so many faults have been made. Every other study asks for a
minute for each task and trains for longer, so that Slurm's time limit ends tasks too. Prints a line for each study and
a table at the end; exits with 1 where something was lost or differs.

With --folder it keeps its state there, and a run that was interrupted goes on with the study that it was at. Results:
benchmarks/results/slurm_faults.json, slurm_faults_search.json with --search. Needs `apt-get install slurm-wlm munge`;
as root the disk is full now and then as well.
"""

import argparse
import collections
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import results, trained
from benchmarks.fault_lab import SEARCH, Disk
from engine.slurm import queue, reasons
from engine.store.files import read_json, write_json
from engine.studies import events as ev
from engine.studies.rundir import RunDir
from engine.studies.status import Status
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
LIMITS = {"10 min": (), "1 min": ("train.epochs=60",)}
"""The time that tasks of a study may take, and what is changed in it so that they meet it."""
PATIENCE_S = 240.0
"""A study of which no epoch and no step has ended for so long hangs."""
LIVES_WITHIN_S = 10.0
"""How long to wait for a process of the kind that is to be killed: workers live for seconds."""
QUIET_WITHIN_S = 60.0
"""After a study's end its tasks and their processes have to be gone by then."""
LIMIT = "time limit of a task"
HELD = reasons.REASONS["launch failed requeued held"]
"""Where Slurm waits for somebody to release a job."""
WRONG = ("hangs", "refused", "unexpected", "lost", "twice", "different", "other rounds", "processes left")
"""What is counted of each study and must be 0."""


class Bench:
    """A cluster, and the study that is being disturbed on it."""

    def __init__(self, cluster: Cluster, lab: Lab, disk: Disk, drawn: random.Random) -> None:
        self.cluster, self.lab, self.disk, self.drawn = cluster, lab, disk, drawn
        self.made: collections.Counter[str] = collections.Counter()
        self.limits = self._limits()
        self.faults: dict[str, Callable[[], bool]] = {
            "scancel of a task": lambda: self._on_task("scancel"),
            "scancel of the study": self._cancel_all,
            "requeue of a task": lambda: self._on_task("scontrol", "requeue"),
            "warning of the limit (USR1)": lambda: self._on_task("scancel", "--signal=USR1", "--batch"),
            "SIGKILL of a worker": lambda: self._kill("worker"),
            "SIGKILL of a task": lambda: self._kill("task"),
            "SIGKILL of everything": self._kill_all,
            "slurmd killed, started again": self._node,
            "node full of another's job": self._occupied,
            "slurmctld stopped, started again": lambda: self._controller(signal.SIGTERM),
            "slurmctld killed, started again": lambda: self._controller(signal.SIGKILL),
        }
        if disk.mounted:
            self.faults["full disk"] = self._full_disk

    def disturb(self) -> None:
        """Make one fault of a random kind, if there is something to make it to."""
        kind = self.drawn.choice(list(self.faults))
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            if self.faults[kind]():
                self.made[kind] += 1
        self.see_limits()

    def administrate(self) -> None:
        """Let nodes go on that Slurm has drained: where a job's last run was not over when it was started again."""
        for line in self.cluster.ask("sinfo", "-h", "-N", "-o", "%N %T").splitlines():
            name, state = line.split()
            if state.startswith("drain"):
                self.cluster.ask("scontrol", "update", f"NodeName={name}", "State=RESUME")

    def see_limits(self) -> None:
        """Count the tasks that Slurm has ended at their limit since the last look."""
        now = self._limits()
        self.made[LIMIT] += now - self.limits
        self.limits = now

    def _limits(self) -> int:
        log = self.cluster.folder / "log" / "slurmctld.log"
        return log.read_text().count("Time limit exhausted") if log.exists() else 0

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
        end = time.monotonic() + LIVES_WITHIN_S
        while not (processes := self._processes(name)) and time.monotonic() < end:
            time.sleep(0.1)
        if processes:
            os.kill(self.drawn.choice(processes), signal.SIGKILL)
        return bool(processes)

    def _processes(self, name: str) -> list[int]:
        every = processes_of(self.lab.workspace)
        servers = {process for process, command in every.items() if "forkserver" in command}
        if name == "worker":
            return sorted(process for process in servers if _parent(process) in servers)
        return [process for process, command in every.items() if "engine.runner.task" in command]

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
        return True

    def _occupied(self) -> bool:
        """The next tasks find a node less, for a while."""
        name, seconds = self.drawn.choice(self.cluster.names), self.drawn.uniform(3, 10)
        asked = (
            "--job-name=other",
            "--output=/dev/null",
            f"--nodelist={name}",
            f"--wrap=sleep {seconds:.1f}",
        )
        return bool(self.cluster.ask("sbatch", "--parsable", "--exclusive", "--nice=-100", *asked).strip())

    def _full_disk(self) -> bool:
        with self.disk.full(self.drawn.randrange(0, 60_000)):
            time.sleep(self.drawn.uniform(0.5, 3.0))
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


def disturbed(bench: Bench, preset: str, changes: list[str], most: int) -> dict[str, int]:
    """One study to its end with up to `most` faults; how it went."""
    lab, began = bench.lab, time.monotonic()
    run = lab.study(lab.json("run", lab.preset(preset), *changes, "--detach")["study"])
    row: collections.Counter[str] = collections.Counter()
    ended, moved = set[Any](), time.monotonic()
    while True:
        time.sleep(bench.drawn.uniform(0.2, 3.0))
        status = look(run)
        state = status.state
        bench.administrate()
        if HELD in status.queue:
            lab.call("release", run.name)
            row["released"] += 1
        done = set(lab.computed(run.name))
        row["lost"] += sum(not stored(lab, key) for key in done)
        epochs = {(e.key, e.epoch) for e in lab.events(run.name) if isinstance(e, ev.EpochFinished)}
        if (done | epochs) - ended:
            ended, moved = done | epochs, time.monotonic()
        if state == "done":
            break
        if state in ("lost", "failed", "cancelled"):
            answer = lab.call("resume", run.name, "--detach")
            if answer.returncode:
                row["refused"] += 1
                print(f"resume of {run.path}: {answer.stdout}{answer.stderr}", flush=True)
            row["resumed"], moved = row["resumed"] + 1, time.monotonic()
        elif time.monotonic() - moved > PATIENCE_S:
            row["hangs"] += 1
            print("hangs:", bench.cluster.ask("squeue"), flush=True)
            bench.cluster.ask("scancel", "-u", str(os.getuid()))
            moved = time.monotonic()
        elif bench.made.total() < most:
            bench.disturb()
    row["processes left"] = left(bench)
    bench.see_limits()
    computed = lab.computed(run.name)
    return row | {
        "faults": bench.made.total(),
        "attempts": len(lab.state(run.name).tasks),
        "steps": len(set(computed)),
        "twice": len(computed) - len(set(computed)),
        "unexpected": unexpected(lab, run),
        "seconds": round(time.monotonic() - began),
    }


def look(run: RunDir) -> Status:
    """How the study stands, by an answer of Slurm's that is fresh."""
    queue.forget()
    return run.read_status()


def stored(lab: Lab, key: str) -> bool:
    return (lab.workspace / "store" / "objects" / key[:2] / key).is_dir()


def left(bench: Bench) -> int:
    """How many processes of the study there are when its tasks have had time to end."""
    end = time.monotonic() + QUIET_WITHIN_S
    while time.monotonic() < end and (bench.cluster.ask("squeue", "-h") or processes_of(bench.lab.workspace)):
        time.sleep(0.5)
    for process, command in (found := processes_of(bench.lab.workspace)).items():
        print(f"left: {process} {command}", flush=True)
    return len(found)


def unexpected(lab: Lab, run: RunDir) -> int:
    """Errors of the study that nobody has foreseen."""
    errors = [getattr(event, "error", None) or {} for event in lab.events(run.name)]
    titles = [str(error.get("title")) for error in errors if isinstance(error, dict)]
    return sum(title.startswith("Unexpected") for title in titles)


def compared(row: dict[str, int], lab: Lab, local: Lab) -> dict[str, int]:
    """The row with what differs from the undisturbed study."""
    ours, theirs = lab.objects(), local.objects()
    different = sum(ours.get(key) != value for key, value in theirs.items())
    return row | {
        "different": different,
        "other rounds": int(local.proposals("p-1") != lab.proposals("p-1")),
    }


def undisturbed(folder: Path, preset: str, changes: list[str]) -> Lab:
    """The same study, carried out here in peace; what is there already is not done again."""
    lab = Lab(folder, 900, warm=False)
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        lab.json("run", lab.preset(preset), *changes)
        (folder / "done").touch()
    return lab


def study(args: argparse.Namespace, cluster: Cluster, number: int, most: int) -> dict[str, Any]:
    """The study with this number, disturbed up to `most` times; its row, and the faults that were made."""
    preset = SEARCHING if args.search else PRESET
    limit = list(LIMITS)[number % len(LIMITS)]
    changes = [part for change in LIMITS[limit] for part in ("--set", change)]
    local = undisturbed(args.folder / f"local-{limit.split()[0]}", preset, changes)
    disk = Disk(args.folder / "disk")
    try:
        lab = Lab(args.folder / "disk" / str(number), 600, warm=False)
        shutil.rmtree(lab.folder, ignore_errors=True)
        lab.folder.mkdir()
        bench = Bench(cluster, lab, disk, random.Random(f"{args.seed}/{number}"))
        asked = ["--set", f"executor.slurm={{time: {limit.split()[0]}}}"]
        row = compared(disturbed(bench, preset, [*changes, *asked], most), lab, local)
        if not any(row.get(name) for name in WRONG):
            shutil.rmtree(lab.folder)
    finally:
        cluster.ask("scancel", "-u", str(os.getuid()))
    return {"limit": limit, "row": row, "made": dict(bench.made)}


def write(args: argparse.Namespace, studies: list[dict[str, Any]]) -> int:
    """Tell and keep the results; 1 unless all is well."""
    made: collections.Counter[str] = collections.Counter()
    total: collections.Counter[str] = collections.Counter()
    for one in studies:
        made.update(one["made"])
        total.update(one["row"])
    for kind, count in made.most_common():
        print(f"{count:5d}  {kind}")
    print(f"{len(studies)} studies:", ", ".join(f"{name} {value}" for name, value in total.items()))
    if args.quick:
        return results.judged({f"{name}: 0": not total[name] for name in WRONG})
    what = "searches" if args.search else "studies"
    wrong = ", ".join(f"{name} {total[name]}" for name in WRONG)
    about = (
        f"{len(studies)} {what} on a cluster of two virtual nodes, disturbed, resumed {total['resumed']} times, "
        f"released {total['released']} times, and compared with undisturbed local ones: {total['attempts']} runs of "
        f"tasks, {total['steps']} steps. Wrong: {wrong}."
    )
    rows = [{"fault": kind, "count": count} for kind, count in made.most_common()]
    name = "slurm_faults_search" if args.search else "slurm_faults"
    title = "Faults on Slurm at random moments" + (", in searches" if args.search else "")
    results.write(name, rows, title=title, about=about, found={name: total[name] for name in WRONG})
    return int(any(total[name] for name in WRONG))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--each", type=int, default=20, help="faults of one study at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--search", action="store_true", help="disturb searches")
    parser.add_argument("--folder", type=Path)
    args = trained.parsed(parser, "--faults 4 --each 4")
    if why := slurm_cluster.missing():
        raise SystemExit(why)
    short = Path(tempfile.mkdtemp(prefix="slf-"))  # paths of sockets are short
    args.folder = (args.folder or short / "f").absolute()
    args.folder.mkdir(parents=True, exist_ok=True)
    kept = read_json(args.folder / "state.json")
    studies: list[dict[str, Any]] = kept if isinstance(kept, list) else []
    cluster = Cluster(short / "c", nodes=2, cpus=1, node_timeout=10)
    os.environ.update({**cluster.variables, "XDG_CACHE_HOME": str(short / "cache")})
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no cluster outlives a benchmark that is ended
    try:
        with cluster:
            while (made := sum(sum(one["made"].values()) for one in studies)) < args.faults:
                studies.append(study(args, cluster, len(studies), min(args.each, args.faults - made)))
                write_json(args.folder / "state.json", studies)
                print(f"study {len(studies)}:", studies[-1], flush=True)
    finally:
        Disk(args.folder / "disk").unmount()
        shutil.rmtree(short, ignore_errors=True)
    return write(args, studies)


if __name__ == "__main__":
    sys.exit(main())
