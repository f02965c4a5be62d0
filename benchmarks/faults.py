"""Faults at random moments, as many as wanted, and what is left of a sweep after all of them.

    python -m benchmarks.faults [--faults 1000] [--seed 0] [--folder DIR] [--no-latency] [--quick]

A sweep that trains, prunes in rounds, fine-tunes and measures latency runs once undisturbed. Then it runs again and
again in one workspace, and faults, drawn by chance, come over it: SIGKILL of its engine, the server that workers are
forked from, the resource tracker, a worker, or all at once; SIGSTOP for a while; signals that ask for an end, to the
engine, its group or every process; an engine that is suspended while another node (with a host name and a lock folder
of its own) takes its study over, and then goes on; limits of memory and file size; a full disk (as root). A study that
ended is resumed, one that is done is compared and begun again on an empty store.

Counted is what must not be: results that differ in a bit from the undisturbed ones or are missing, finished steps that
were computed twice, ends that are told wrongly (a signal is never "failed", a killed server never ends a study),
studies that stand still, processes and temporary folders left behind, tracebacks.

With --folder it keeps its state there and goes on where it was stopped. Results: benchmarks/results/faults.json.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.fault_lab import ENDED, Disk, Workspace, can_unshare
from engine.machine import private

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
"""
LATENCY = """\
measure:
  latency: {runtimes: [torch, onnxruntime], batch: [1], blocks: 4, block_ms: 20, warmup_ms: 20}
"""
QUICK = (
    PRESET.replace("epochs: 10", "epochs: 3")
    .replace("scope: [local, global]", "scope: [local]")
    .replace("resnet20", "resnet8")
)
KINDS = {
    "kill worker": 6,
    "kill engine": 4,
    "kill server": 3,
    "kill resource tracker": 1,
    "kill all": 3,
    "suspend": 3,
    "signal engine": 2,
    "signal group": 2,
    "signal all": 2,
    "other node": 2,
    "memory limit": 1,
    "file size limit": 1,
    "full disk": 1,
}
"""How often each kind comes."""
QUICK_KINDS = ("kill worker", "kill engine", "kill server", "signal all", "kill all")
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
LONGEST_PAUSE_S = 2.0
"""From a study's start, or the fault before, to the next, at most."""
PATIENCE_S = 5.0
"""How long to wait for a process of the kind that was drawn."""
ENDS_WITHIN_S = 60.0
"""A study that was told to end and has not by then is stuck; so is one whose log has not grown for five times that."""
TITLE = "Faults at random moments"
WRONG = ("different", "twice", "wrong ends", "stuck", "processes left", "folders left", "tracebacks")
"""What is counted and must be 0."""


class Faults:
    """The sweep that is disturbed, and what was counted so far."""

    def __init__(self, folder: Path, quiet: dict[str, Any], seed: int, kinds: dict[str, int]) -> None:
        self.folder = folder
        self.quiet = quiet
        self.seed = seed
        self.kinds = kinds
        self.work = Workspace(folder / "disturbed")
        self.disk = Disk(self.work.home)
        kept = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.study: str = kept.get("study", "")
        self.done: collections.Counter[str] = collections.Counter(kept.get("done", {}))
        self.ends: collections.Counter[str] = collections.Counter(kept.get("ends", {}))
        self.wrong: collections.Counter[str] = collections.Counter(kept.get("wrong", {}))
        self.sweeps: int = kept.get("sweeps", 0)
        self.notes: list[str] = kept.get("notes", [])

    @property
    def file(self) -> Path:
        return self.folder / "state.json"

    def keep(self) -> None:
        values = {n: getattr(self, n) for n in ("study", "done", "ends", "wrong", "sweeps", "notes")}
        partial = self.file.with_suffix(".partial")
        partial.write_text(json.dumps(values, indent=1))
        partial.replace(self.file)

    def run(self, count: int) -> None:
        """Faults up to the number `count`, then the last study in peace."""
        while self.done.total() < count:
            chance = random.Random(f"{self.seed}/{self.done.total()}")
            kind = chance.choices(list(self.kinds), list(self.kinds.values()))[0]
            self._go_on(chance if kind.endswith("limit") else None, kind)
            time.sleep(chance.uniform(0.0, LONGEST_PAUSE_S))
            what = self._strike(kind, chance)
            self.done[what] += 1
            self.keep()
            if self.done.total() % 10 == 0:
                print(
                    f"{self.done.total()} faults, {self.sweeps} sweeps, wrong: {dict(self.wrong)}", flush=True
                )
        while self._state() != "done":
            self._go_on(None, "")
            self._await(("done", *ENDED), 5 * ENDS_WITHIN_S)
        self._compare()
        self._tidy()
        self.keep()

    def _state(self) -> str:
        return self.work.state(self.study) if self.study else ""

    def _go_on(self, chance: random.Random | None, kind: str) -> None:
        """Have a study that runs: this one, resumed if it has ended, or a new one; `chance`: under a drawn limit."""
        limits = {}
        if chance is not None and kind == "memory limit":
            limits["RLIMIT_AS"] = int(chance.uniform(0.3, 4.0) * 2**30)
        elif chance is not None:
            limits["RLIMIT_FSIZE"] = int(chance.uniform(1, 400) * 2**10)
        state = self._state()
        if state == "done":
            self._compare()
            shutil.rmtree(self.work.home / "store")
            state = ""
        elif state == "running" and limits:
            self._call("cancel", self.study)
            state = self._state()
        if state in ENDED:
            self.ends[state] += 1
            self._call("resume", self.study, "--detach", limits=limits)
        elif not state:
            answer = self._call("run", "sweep.yaml", "--detach")
            self.study = answer.get("study", self.study)

    def _call(self, *arguments: str, node: str = "", limits: dict[str, int] | None = None) -> dict[str, Any]:
        answer = self.work.call(*arguments, node=node, limits=limits)
        if "Traceback" in answer.get("stderr", ""):
            self._wrong("tracebacks", answer["stderr"][-400:])
        return answer

    def _strike(self, kind: str, chance: random.Random) -> str:
        """One fault; what it came to."""
        before = self._state()
        match kind.split():
            case ["kill", *role]:
                return self._kill(" ".join(role), chance)
            case ["suspend"]:
                return self._suspend(chance)
            case ["signal", whom]:
                return self._signal(whom, chance)
            case ["other", "node"] if before == "running" and can_unshare():
                return self._other_node(chance)
            case ["full", "disk"] if self.disk.mounted:
                with self.disk.full(chance.randrange(0, 60_000)):
                    time.sleep(chance.uniform(0.5, 3.0))
                return kind
            case [_, *_] if kind.endswith("limit"):
                self._await(("done", *ENDED), chance.uniform(1.0, 10.0), stuck=False)
                if self._state() == "running":  # what it can do under its limit it may finish without
                    self._call("cancel", self.study)
                return kind
            case _:
                return "nothing to disturb"

    def _kill(self, role: str, chance: random.Random) -> str:
        victims = self._victims("" if role == "all" else role)
        if not victims:
            return "nothing to disturb"
        chosen = sorted(victims) if role == "all" else [chance.choice(sorted(victims))]
        for pid in chosen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if role not in ("engine", "all"):
            time.sleep(1.0)  # the engine tells what it came to
        if role in ("server", "resource tracker") and (state := self._state()) in ("failed", "lost"):
            self._wrong("wrong ends", f"{role} killed: {state}")
        return f"kill {role}"

    def _suspend(self, chance: random.Random) -> str:
        victims = self._victims("")
        if not victims:
            return "nothing to disturb"
        pid = chance.choice(sorted(victims))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(chance.uniform(0.1, 3.0))
            os.kill(pid, signal.SIGCONT)
        return f"suspend {victims[pid]}"

    def _signal(self, whom: str, chance: random.Random) -> str:
        """The study ends as cancelled, unless it was at its end before it heard; no signal makes a step fail."""
        number = chance.choice(SIGNALS)
        engines = self._victims("engine")
        if self._state() != "running" or not engines:
            return "nothing to disturb"
        (engine, *_) = engines
        failures = self.work.failures(self.study)
        targets = (
            [engine] if whom == "engine" else [-engine] if whom == "group" else sorted(self._victims(""))
        )
        for pid in targets:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number) if pid > 0 else os.killpg(-pid, number)
        self._await(("done", *ENDED), ENDS_WITHIN_S)
        ended_as = ("cancelled", "done", "running", *(["failed"] if failures else []))
        if (state := self._state()) not in ended_as or self.work.failures(self.study) > failures:
            self._wrong("wrong ends", f"{number.name} to {whom}: {state}")
        return f"{number.name} to {whom}"

    def _other_node(self, chance: random.Random) -> str:
        """Suspend the engine until another node has taken its study over, let that work, let the first go on."""
        engines = self._victims("engine")
        if not engines:
            return "nothing to disturb"
        (old, *_) = engines
        with contextlib.suppress(ProcessLookupError):
            os.kill(old, signal.SIGSTOP)
            answer = self._call("resume", self.study, "--detach", node="node-b")
            time.sleep(chance.uniform(0.0, 2.0))
            os.kill(old, signal.SIGCONT)
            if "study" not in answer:
                self._wrong("wrong ends", f"not taken over: {answer.get('stderr', '')[-300:]}")
            if not self._gone(old):
                self._wrong("stuck", "a superseded engine has not ended")
        # From here on both nodes are this one again.
        self._call("cancel", self.study, node="node-b")
        return "taken over by another node"

    def _gone(self, pid: int) -> bool:
        deadline = time.monotonic() + ENDS_WITHIN_S
        while pid in self.work.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        return pid not in self.work.processes()

    def _victims(self, role: str) -> dict[int, str]:
        """Processes of that role, waiting for one to come."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            victims = {p: r for p, r in self.work.processes().items() if r.startswith(role)}
            if victims or time.monotonic() > deadline or self._state() in ENDED:
                return victims
            time.sleep(0.02)

    def _await(self, states: tuple[str, ...], seconds: float, *, stuck: bool = True) -> None:
        """Until the study is in one of `states`; one that neither ends nor writes for so long is stuck."""
        size, since = self.work.log_size(self.study), time.monotonic()
        while self._state() not in states:
            if (now := self.work.log_size(self.study)) != size and stuck:
                size, since = now, time.monotonic()
            if time.monotonic() - since > seconds:
                if stuck:
                    self._wrong("stuck", f"{self.study} is {self._state()}")
                return
            time.sleep(0.2)

    def _compare(self) -> None:
        """A sweep that is done: every result, what was computed twice, what is left behind."""
        self.sweeps += 1
        objects = self.work.objects()
        for key, value in self.quiet.items():
            if objects.get(key) != value:
                self._wrong("different", f"{self.study} {value[0]} {key[:12]}")
        computed = self.work.computed(self.study)
        if len(computed) != len(set(computed)):
            self._wrong("twice", self.study)
        deadline = time.monotonic() + 20
        while (left := self.work.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left:
            self._wrong("processes left", str(left))
        for error in self.work.unexpected(self.study):
            self._wrong("tracebacks", error)
        self.study = self.study if self._state() == "done" else ""

    def _tidy(self) -> None:
        """What killed engines left in temporary folders, the next one removes once it is a minute old."""
        for path in self.work.left():
            old = path.lstat().st_mtime - 2 * private.YOUNG_S
            os.utime(path, (old, old), follow_symlinks=False)
        if self.work.left():
            self._call("run", "sweep.yaml")
        for path in self.work.left():
            self._wrong("folders left", path.name)
        if self.disk.mounted:
            self.disk.unmount()

    def _wrong(self, what: str, note: str) -> None:
        self.wrong[what] += 1
        self.notes.append(f"{what}: {note}")
        print(self.notes[-1], flush=True)

    def report(self, seconds: float) -> None:
        print(f"{self.done.total()} faults in {seconds:.0f} s:")
        for what, count in self.done.most_common():
            print(f"  {count:4} {what}")
        print(f"ends before a resume: {dict(self.ends)}; sweeps completed and compared: {self.sweeps}")
        for what in WRONG:
            print(f"  {self.wrong[what]:4} {what}")
        print("verdict:", "nothing finished was lost, every bit is the same" if not self.wrong else "FAILED")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keep the state here, and go on from it")
    parser.add_argument("--no-latency", action="store_true")
    parser.add_argument(
        "--quick", action="store_true", help="a few faults of a smaller sweep, and no results written"
    )
    args = parser.parse_args()
    with private.scratch() as made:
        return disturbed(args, (args.folder or made).absolute())


def disturbed(args: argparse.Namespace, folder: Path) -> int:
    count = args.faults or (len(QUICK_KINDS) if args.quick else 1000)
    os.environ.update(Workspace(folder / "disturbed").environment())
    started = time.monotonic()
    text = QUICK if args.quick else PRESET if args.no_latency else PRESET + LATENCY
    faults = Faults(folder, _undisturbed(folder, text), args.seed, _kinds(args.quick))
    (faults.work.folder / "sweep.yaml").write_text(text)
    faults.run(count)
    seconds = time.monotonic() - started
    faults.report(seconds)
    if not args.quick:
        rows = [{"fault": what, "count": number} for what, number in faults.done.most_common()]
        counts = {what: faults.wrong[what] for what in WRONG}
        about = (
            f"One sweep, disturbed again and again; {faults.sweeps} times it came to its end and was compared with an "
            f"undisturbed one. Wrong: {', '.join(f'{what} {number}' for what, number in counts.items())}."
        )
        ends, sweeps = dict(faults.ends), faults.sweeps
        results.write("faults", rows, title=TITLE, about=about, found=counts, ends=ends, sweeps=sweeps)
    return 1 if faults.wrong else 0


def _kinds(quick: bool) -> dict[str, int]:
    return dict.fromkeys(QUICK_KINDS, 1) if quick else KINDS


def _undisturbed(folder: Path, text: str) -> dict[str, Any]:
    """Every result of a quiet run of the sweep: made once, kept in `folder`."""
    quiet = Workspace(folder / "quiet")
    (quiet.folder / "sweep.yaml").write_text(text)
    if not quiet.home.exists() or quiet.state("sweep-1") != "done":
        shutil.rmtree(quiet.home, ignore_errors=True)
        said = quiet.call("run", "sweep.yaml")
        if said.get("status") != "done":
            raise SystemExit(f"the undisturbed run did not succeed: {said}")
    return quiet.objects()


if __name__ == "__main__":
    sys.exit(main())
