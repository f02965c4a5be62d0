"""A workspace that is driven through the command line alone, its processes, and its disk: for `benchmarks.faults`."""

import contextlib
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from engine.studies.rundir import RunDir

HOME = Path(__file__).resolve().parents[1]
ENDED = ("failed", "lost", "cancelled", "unreadable")
LOST_AFTER_S = 3.0
"""An engine on another node is gone after so long, in place of 75 s."""
SEARCH = """\
search:
  smallest: size.packed
  within: {accuracy: -50 points}
  budget: {trials: 4}
  batch: 2
  finalists: 1
  seeds: 2
  over:
"""
"""A small search, for presets that go on with the steps that it is over."""
OURS = ("gate", "room", "engines-elsewhere.json", "compiled")
"""What stays in the folder of locks."""


class Workspace:
    """A workspace with locks and temporary files of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.home = self.folder / "w"
        self.temporary = self.folder / "tmp"
        self.temporary.mkdir(parents=True, exist_ok=True)

    def environment(self, node: str = "") -> dict[str, str]:
        return {
            **os.environ,
            "SECATEUR_HOME": str(self.home),
            "SECATEUR_LOCKS": str(self.folder / f"locks{node}"),
            "SECATEUR_LOST_AFTER": str(LOST_AFTER_S),
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": str(HOME),
        }

    def call(self, *arguments: str, node: str = "", limits: dict[str, int] | None = None) -> dict[str, Any]:
        """What a command gives with --json, on another node if one is named; `stderr` beside it."""
        command = [sys.executable, "-m", "engine.cli.main", *arguments, "--json"]
        if node:
            inside = f"hostname {node} && exec {' '.join(command)}"
            command = ["unshare", *([] if os.geteuid() == 0 else ["-Ur"]), "--uts", "sh", "-c", inside]
        numbers = {getattr(resource, name): value for name, value in (limits or {}).items()}

        def limited() -> None:
            for number, value in numbers.items():
                resource.setrlimit(number, (value, value))

        done = subprocess.run(
            command,
            env=self.environment(node),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=limited if numbers else None,
        )
        answer = json.loads(done.stdout) if done.stdout.startswith("{") else {}
        return answer | {"stderr": done.stderr, "code": done.returncode}

    def study(self, name: str) -> RunDir:
        return RunDir.of(self.home, name)

    def state(self, name: str) -> str:
        return self.study(name).read_status().state

    def log_size(self, name: str) -> int:
        try:
            return self.study(name).events.stat().st_size
        except OSError:
            return 0

    def unexpected(self, name: str) -> list[str]:
        """Errors of the study that nobody has foreseen."""
        lines = self.study(name).events.read_text().splitlines()
        errors = [json.loads(line).get("error") or {} for line in lines]
        return [str(error) for error in errors if str(error.get("title")).startswith("Unexpected")]

    def failures(self, name: str) -> int:
        """How many steps have failed, in all of the study's lives."""
        return self.study(name).events.read_text().count('"event": "step-failed"')

    def objects(self) -> dict[str, Any]:
        """Key → kind, measures and file hashes of every result that must repeat."""
        stored = {}
        for file in (self.home / "store").glob("objects/*/*/object.json"):
            meta = json.loads(file.read_text())
            if meta["kind"] in ("latency", "artefact", "checkup"):
                continue
            files = {n: hashlib.sha256((file.parent / n).read_bytes()).hexdigest() for n in meta["files"]}
            stored[meta["key"]] = (meta["kind"], meta["measures"], files)
        return stored

    def computed(self, study: str) -> list[str]:
        events = [json.loads(line) for line in self.study(study).events.read_text().splitlines()]
        return [e["key"] for e in events if e["event"] == "step-finished" and not e["reused"]]

    def processes(self) -> dict[int, str]:
        """Live processes of the workspace's studies, by what they are."""
        roles = {}
        mark = f"SECATEUR_HOME={self.home}".encode()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    roles[int(entry.name)] = self._role(entry)
        return {pid: role for pid, role in roles.items() if role}

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
        busy = any((self.home / "store" / "tmp").glob("*/*"))
        return "worker, store being written" if busy else "worker or measured process"

    def left(self) -> list[Path]:
        """What lies in temporary folders and among locks though nothing runs."""
        folders = [self.temporary, *self.folder.glob("locks*")]
        return [path for folder in folders for path in folder.iterdir() if path.name not in OURS]


@cache
def can_unshare() -> bool:
    """Whether this user can have a host name of its own."""
    command = ["unshare", *([] if os.geteuid() == 0 else ["-Ur"]), "--uts", "true"]
    return shutil.which("unshare") is not None and subprocess.run(command, check=False).returncode == 0


class Disk:
    """A file system of its own for the workspace in `folder`, where that is allowed, which can be full for a while."""

    LARGE = "2g"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self.mounted = os.path.ismount(folder) or (
            os.geteuid() == 0 and self._mount("-t", "tmpfs", "-o", f"size={self.LARGE}", "tmpfs")
        )

    def _mount(self, *arguments: str) -> bool:
        done = subprocess.run(["mount", *arguments, str(self._folder)], capture_output=True, check=False)
        return done.returncode == 0

    @contextlib.contextmanager
    def full(self, spare: int) -> Iterator[None]:
        """Only `spare` bytes are free during the block."""
        used = shutil.disk_usage(self._folder).used
        self._mount("-o", f"remount,size={used + spare}")
        try:
            yield
        finally:
            self._mount("-o", f"remount,size={self.LARGE}")

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self._folder)], check=False)
        self.mounted = False
