"""Real studies through the command line, each small enough for a test."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from unittest import mock

from engine.compute.latency.forks import PRELOAD
from engine.runner import launch
from engine.runner.executors.local import LAST
from engine.store.objects import Store
from engine.studies import events as ev
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState, load
from tests import lone
from tests.warm import server

HOME = Path(__file__).resolve().parents[1]
WARM = Path(__file__).resolve().parent / "warm"
TIMEOUT_S = 300
PRESET = """\
seed: 0
threads: 1
device: cpu
model: {name: resnet8, arguments: {width: 4}}
data: {name: digits, limit: 100}
steps:
  - train: {epochs: 2, batch: 32}
  - prune.weights: {sparsity: 0.5}
  - finetune: {epochs: 1, batch: 32}
sweep:
  prune.weights.sparsity: [0.5, 0.9]
"""
LEARNED = """\
seed: 0
threads: 1
device: cpu
model: {name: resnet8, arguments: {width: 4}}
data: {name: digits, limit: 300}
steps:
  - train: {epochs: 4, batch: 32}
"""
"""One trial that has learned something, which it loses as it is compressed."""
LATENCY = "measure.latency={runtimes: [torch], batch: [1], blocks: 3, block_ms: 5, warmup_ms: 5}"


@dataclass
class Lab:
    """A workspace in a folder of its own, with a host lock of its own.

    A warm lab's commands, engines and workers are forked from one server of the test process, which saves each of
    them its imports: torch takes seconds. In another, each command is a Python of its own and each study starts the
    server of its workers, as for users: for tests of these processes.
    """

    folder: Path
    timeout_s: float = TIMEOUT_S
    warm: bool = True
    locks: Path | None = None
    """Where the host lock is, if others use the folder too: what they measure is not waited for."""

    @property
    def workspace(self) -> Path:
        return self.folder / "w"

    @property
    def environment(self) -> dict[str, str]:
        # Its own lock: other work on this machine would make the tests wait.
        own = {
            **os.environ,
            "SECATEUR_HOME": str(self.workspace),
            "SECATEUR_LOCKS": str(self.locks or self.folder / "locks"),
            "PYTHONPATH": str(HOME),
        }
        if self.warm:
            own |= warm_variables()
        return own

    def preset(self, text: str = PRESET, name: str = "p") -> str:
        file = self.folder / f"{name}.yaml"
        file.write_text(text)
        return str(file)

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "engine.cli.main", *arguments],
            env=self.environment,
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def call(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        if self.warm:
            return self._forked(*arguments)
        process = self.start(*arguments)
        out, err = process.communicate(timeout=self.timeout_s)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def _forked(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """The same, in a process forked from the warm server."""
        with tempfile.TemporaryDirectory(prefix=f"secateur-test-{os.getpid()}-said-") as folder:
            said = [Path(folder) / name for name in ("out", "err")]
            environment = self.environment
            if arguments[:1] == ("export",):
                environment["SECATEUR_TESTS_LONE"] = lone.address()
            process = multiprocessing.get_context("forkserver").Process(
                target=_command, args=(arguments, environment, self.folder, said)
            )
            process.start()
            process.join(self.timeout_s)
            if process.exitcode is None:
                process.kill()
                raise subprocess.TimeoutExpired(arguments, self.timeout_s)
            out, err = (file.read_text() for file in said)
        return subprocess.CompletedProcess(arguments, process.exitcode, out, err)

    def json(self, *arguments: str, code: int = 0) -> Any:
        """What the command prints with --json; it must end with `code`."""
        done = self.call(*arguments, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def run(self, *changes: str, preset: str | None = None, code: int = 0) -> Any:
        self.share_templates()
        options = [part for change in changes for part in ("--set", change)]
        return self.json("run", preset or self.preset(), *options, code=code)

    def share_templates(self) -> None:
        share_templates(Store(self.workspace / "store"))

    def study(self, name: str) -> RunDir:
        return RunDir.of(self.workspace, name)

    def state(self, name: str) -> StudyState:
        return load(self.study(name).path)

    def events(self, name: str) -> list[ev.Event]:
        files = [path for path in self.study(name).event_files() if path.exists()]
        lines = [line for path in files for line in path.read_bytes().splitlines()]
        return [event for line in lines if (event := ev.parse_line(line)) is not None]

    def proposals(self, name: str) -> list[dict[str, Any]]:
        """What each trial of a search was proposed as; empty for its baseline."""
        return [trial.proposal for trial in self.state(name).trials]

    def computed(self, name: str) -> list[str]:
        """Keys of the steps that were finished by computing them, in order."""
        return [e.key for e in self.events(name) if isinstance(e, ev.StepFinished) and not e.reused]

    def objects(self, store: Path | None = None) -> dict[str, Any]:
        """Key → measures and the hashes of its files as they are on the disk, of all that must repeat."""
        return dict(_objects(store or self.workspace / "store"))


def share_templates(store: Store) -> None:
    """Graphs that were exported for other workspaces serve this one's."""
    store.templates.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):  # its own, or shared already
        store.templates.symlink_to(os.environ["SECATEUR_TESTS_TEMPLATES"])


def warm_variables() -> dict[str, str]:
    """What has a new process of ours be forked from the tests' server, as far as it is one of those in `warm`."""
    return {"PYTHONPATH": f"{WARM}{os.pathsep}{HOME}", "SECATEUR_TESTS_FORKSERVER": warm_server()}


def warm_server() -> str:
    """The fork server of this process, by address and key: that of all test processes, or its own where it is alone.

    Its own is started when first asked for, and ends with the process.
    """
    if named := os.environ.get("SECATEUR_TESTS_FORKSERVER"):
        server.use(named)
        return named
    return start_server()


def start_server() -> str:
    """A fork server that has imported what studies need, by address and key; ends with this process."""
    ours = ("unsynced", "programs", "engines", "testers", "short", "first_times", "silent", "huge")
    forkserver.set_forkserver_preload(
        [
            "tests.warm.loading",
            *PRELOAD,
            "engine.compute.worker.fingerprint",
            "engine.compute.worker.knob.process",
            "engine.compute.worker.selfcheck",
            *(f"engine.cli.{name}" for name in ("main", "run", "study", "trial", "plot", "export")),
            __name__,
            *(f"tests.warm.{name}" for name in ours),
            LAST,
        ]
    )
    with mock.patch.dict(os.environ, launch.process_environment()):  # as a study's own server
        forkserver.ensure_running()
    server.fork_alike()
    started: Any = forkserver._forkserver
    key: bytes = getattr(started, "_forkserver_authkey", None) or b""
    return f"{started._forkserver_address} {key.hex()}"


def _command(arguments: tuple[str, ...], environment: dict[str, str], folder: Path, said: list[Path]) -> None:
    """`secateur` with `arguments` in this process, what it says in two files; its engines are forked as well."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, file in enumerate(said, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    from engine.cli.main import main
    from tests.warm import engines

    launch._engine = engines.start
    if arguments[:1] == ("export",):
        from engine.compute.export import verify
        from tests.warm import exports

        verify._started = exports.started
    sys.exit(main(list(arguments)))


def _objects(store: Path) -> Iterator[tuple[str, Any]]:
    for file in store.glob("objects/*/*/object.json"):
        meta = json.loads(file.read_text())
        if meta["kind"] not in ("latency", "artefact"):
            names = sorted(meta["files"])
            hashes = {n: hashlib.sha256((file.parent / n).read_bytes()).hexdigest() for n in names}
            yield meta["key"], (meta["measures"], hashes)


def wait_for(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What `what()` gives once it is true; an AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def processes_of(folder: Path) -> dict[int, str]:
    """Every live process whose environment points into `folder`: engines, workers, measured processes.

    An engine that was forked has its server's environment there: it is known by a session of its own, and where it is.
    """
    mark = f"SECATEUR_HOME={folder}".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            forked = os.getsid(int(entry.name)) == int(entry.name) and (entry / "cwd").readlink()
            if mark in (entry / "environ").read_bytes() or (forked and forked.is_relative_to(folder)):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found
