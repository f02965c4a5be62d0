"""Kills processes of a study at random moments, a hundred times, and compares what comes out with a quiet run.

    python benchmarks/faults.py [--kills 100] [--seed 0] [--folder DIR]

A sweep that trains, prunes in rounds, fine-tunes, exports and measures latency runs once undisturbed. Then the
same sweep runs again and again in one workspace: at every random moment one of its processes, drawn by chance,
gets SIGKILL: the engine, the server that workers are forked from, a worker (often while it writes to the store),
a process whose latency is being measured. A study that ends or is lost is resumed; one that is done is begun
again on an empty store. Every finished sweep must hold, bit for bit, the models, predictions and numbers of the
undisturbed one, and no step that was finished may have been computed twice.
"""

import argparse
import collections
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from engine.studies.rundir import RunDir

HOME = Path(__file__).resolve().parents[1]
PRESET = """\
seed: 0
threads: 1
device: cpu
model: {name: resnet20, arguments: {width: 8}}
data: {name: digits, limit: 400}
steps:
  - train: {epochs: 10, batch: 64}
  - prune.weights: {schedule: {kind: cubic, rounds: 4}}
  - finetune: {epochs: 2, batch: 64}
sweep:
  prune.weights.scope: [local, global]
  prune.weights.sparsity: [0.5, 0.8]
measure:
  latency: {runtimes: [torch, onnxruntime], batch: [1], blocks: 4, block_ms: 20, warmup_ms: 20}
"""
KINDS = {"engine": 3, "server": 2, "resource tracker": 1, "worker": 6}
"""How often each kind is hit: workers most, for it is they who compute and who write to the store."""
LONGEST_PAUSE_S = 1.5
"""From a process's appearance to its end, at most; a step takes some tenths of a second."""
PATIENCE_S = 5.0
"""How long to wait for a process of the kind that was drawn."""
ENDED = {"done", "failed", "lost", "cancelled"}


class Workspace:
    """A workspace, driven through the command line alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        (folder / "sweep.yaml").write_text(PRESET)
        self.environment = {
            **os.environ,
            "SECATEUR_HOME": str(folder / "w"),
            "SECATEUR_LOCKS": str(folder / "locks"),
            "PYTHONPATH": str(HOME),
        }

    def call(self, *arguments: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "engine.cli.main", *arguments, "--json"],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(done.stdout) if done.stdout else {"stderr": done.stderr}

    def state(self, study: str) -> str:
        found = {row["study"]: row["state"] for row in self.call("list")}
        return str(found[study])

    def objects(self) -> dict[str, Any]:
        """Key → kind, measures and file hashes of every result that must repeat."""
        found = {}
        for file in (self.folder / "w" / "store").glob("objects/*/*/object.json"):
            meta = json.loads(file.read_text())
            if meta["kind"] in ("latency", "artefact"):
                continue
            files = {n: hashlib.sha256((file.parent / n).read_bytes()).hexdigest() for n in meta["files"]}
            found[meta["key"]] = (meta["kind"], meta["measures"], files)
        return found

    def computed(self, study: str) -> list[str]:
        lines = RunDir.of(self.folder / "w", study).events.read_text().splitlines()
        events = [json.loads(line) for line in lines]
        return [e["key"] for e in events if e["event"] == "step-finished" and not e["reused"]]

    def processes(self) -> dict[int, str]:
        """Live processes of the workspace's studies, by what they are."""
        found = {}
        mark = f"SECATEUR_HOME={self.folder / 'w'}".encode()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    found[int(entry.name)] = self._role(entry)
        return {pid: role for pid, role in found.items() if role}

    def _role(self, entry: Path) -> str:
        line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        if "engine.runner.supervisor" in line:
            return "engine"
        if "resource_tracker" in line:
            return "resource tracker"
        if "forkserver" not in line:
            return ""
        parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        grandparent = Path(f"/proc/{parent}/cmdline").read_bytes()
        if b"forkserver" not in grandparent:
            return "server"
        busy = any((self.folder / "w" / "store" / "tmp").glob("*/*"))
        return "worker or measured process, store being written" if busy else "worker or measured process"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="faults-"))
    started = time.monotonic()
    quiet = Workspace(folder / "quiet")
    quiet.call("run", "sweep.yaml")
    wanted = quiet.objects()
    print(f"undisturbed: {len(wanted)} results in {time.monotonic() - started:.0f} s", flush=True)
    disturbed = Disturbed(Workspace(folder / "disturbed"), wanted, random.Random(args.seed))
    disturbed.kill(args.kills)
    disturbed.report()
    print(f"{time.monotonic() - started:.0f} s in all")
    shutil.rmtree(folder)
    return 0 if disturbed.good else 1


class Disturbed:
    """The sweep that is killed, and what is found when it ends."""

    def __init__(self, workspace: Workspace, wanted: dict[str, Any], chance: random.Random) -> None:
        self.workspace = workspace
        self.wanted = wanted
        self.chance = chance
        self.killed: collections.Counter[str] = collections.Counter()
        self.ends: collections.Counter[str] = collections.Counter()
        self.sweeps = self.twice = self.different = self.left = 0

    @property
    def good(self) -> bool:
        return not (self.twice or self.different or self.left)

    def kill(self, count: int) -> None:
        study = self._begin()
        while self.killed.total() < count:
            self._strike()
            study = self._go_on(study)
        self._complete(study)

    def _begin(self) -> str:
        return str(self.workspace.call("run", "sweep.yaml", "--detach")["study"])

    def _strike(self) -> None:
        """Draw a kind of process, wait for one, let it work for a random time, kill it."""
        kind = self.chance.choices(list(KINDS), list(KINDS.values()))[0]
        pause = self.chance.uniform(0.0, LONGEST_PAUSE_S)
        deadline = time.monotonic() + PATIENCE_S
        while not self._of(kind) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(pause)
        if found := self._of(kind):
            pid = self.chance.choice(sorted(found))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.killed[found[pid]] += 1

    def _of(self, kind: str) -> dict[int, str]:
        found = self.workspace.processes()
        return {pid: role for pid, role in found.items() if role.startswith(kind)}

    def _go_on(self, study: str) -> str:
        """The study to strike next: this one, resumed if it ended, or a new one if it is done."""
        state = self.workspace.state(study)
        if state not in ENDED:
            return study
        self.ends[state] += 1
        if state != "done":
            self.workspace.call("resume", study, "--detach")
            return study
        self._compare(study)
        shutil.rmtree(self.workspace.folder / "w" / "store")
        return self._begin()

    def _complete(self, study: str) -> None:
        """Let the last study come to its end in peace."""
        while (state := self.workspace.state(study)) != "done":
            if state in ENDED:
                self.workspace.call("resume", study, "--detach")
            time.sleep(0.2)
        self._compare(study)

    def _compare(self, study: str) -> None:
        self.sweeps += 1
        found = self.workspace.objects()
        self.different += sum(found.get(key) != value for key, value in self.wanted.items())
        computed = self.workspace.computed(study)
        self.twice += len(computed) - len(set(computed))
        deadline = time.monotonic() + 20
        while (left := self.workspace.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.left += len(left)

    def report(self) -> None:
        print(f"killed {self.killed.total()} processes:")
        for role, count in self.killed.most_common():
            print(f"  {count:4} {role}")
        print(f"ends before a resume: {dict(self.ends)}; sweeps completed and compared: {self.sweeps}")
        print(f"finished steps computed twice: {self.twice}")
        print(
            f"results that differ from the undisturbed run: {self.different} of {self.sweeps * len(self.wanted)}"
        )
        print(f"processes left behind: {self.left}")
        print("verdict: nothing finished was lost, every bit is the same" if self.good else "verdict: FAILED")


if __name__ == "__main__":
    sys.exit(main())
