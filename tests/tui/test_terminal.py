"""The program in a pseudo-terminal: bursts of keys, signals, exit codes, what it imports."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.machine import signals
from engine.testing import folders as fabricate
from tests.fresh import printed
from tests.tui.terminal import HOME, Terminal

INPUTS = """
import sys
from tui.patches.keyorder import KeyOrder
from tui.widgets.keyinput import KeyInput
from textual.app import App
class Form(KeyOrder, App):
    def compose(self):
        yield KeyInput("0.80")
        yield KeyInput("")
        yield KeyInput("abc")
    def on_input_submitted(self):
        self.exit("|".join(i.value for i in self.query(KeyInput)))
open(sys.argv[1], "w").write(Form().run(mouse=False))
"""


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("\x7f9\r", "0.89||abc"),
        ("\x7f\x7f\x7f\x7f1\t2\t\r", "1|2|abc"),
        ("\x150.5\tx\t\x15\x7fy\x1b[Dz\r", "0.5|x|zy"),
        ("\t1\x1b[Z\x155\t2\r", "5|12|abc"),
        ("\x1b[H7\x1b[F1\r", "70.801||abc"),
    ],
)
def test_keys_of_one_packet_land_in_the_order_typed(tmp_path: Path, keys: str, expected: str) -> None:
    out = tmp_path / "values"
    script = tmp_path / "form.py"
    script.write_text(INPUTS)
    terminal = Terminal(tmp_path, (80, 24), command=[sys.executable, str(script), str(out)])
    terminal.ready("0.80", "abc")
    os.write(terminal.file, keys.encode())
    assert terminal.ended(5.0) == 0
    assert out.read_text() == expected


def test_a_burst_into_the_filter_reaches_it_whole(tmp_path: Path) -> None:
    for name in ("alpha", "beta"):
        fabricate.finished(tmp_path, name)
    terminal = Terminal(tmp_path, (80, 24), "--open", "studies")
    terminal.ready("2 studies")
    os.write(terminal.file, b"/betx\x7fa\r")
    terminal.until("1 of 2")
    assert terminal.close() == 0


def test_a_burst_walks_through_screens_in_order(tmp_path: Path) -> None:
    fabricate.finished(tmp_path)
    terminal = Terminal(tmp_path, (80, 24), "--open", "studies")
    terminal.ready("1 study")
    os.write(terminal.file, b"4563/quick\x7fx\r")
    terminal.until("0 of 1")
    assert terminal.close() == 0


def test_a_page_key_right_behind_escape_is_not_lost(tmp_path: Path) -> None:
    fabricate.finished(tmp_path)
    terminal = Terminal(tmp_path, (80, 24), "--open", "studies")
    terminal.ready("1 study")
    os.write(terminal.file, b"?")
    terminal.ready("Keys that work here")
    os.write(terminal.file, b"\x1b4")
    terminal.until("global")
    assert terminal.close() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_at_once_and_says_so(tmp_path: Path, number: signal.Signals) -> None:
    with signals.blocked():  # as some who start programs leave them
        terminal = Terminal(tmp_path, (80, 24), "--open", "studies")
    terminal.until("No studies in")
    os.kill(terminal.pid, number)
    assert terminal.ended(3.0) == 128 + number


def test_a_terminal_that_vanishes_leaves_no_process(tmp_path: Path) -> None:
    fabricate.finished(tmp_path)
    terminal = Terminal(tmp_path, (80, 24), "--open", "curves")
    terminal.until("global")
    os.close(terminal.file)
    terminal.file = os.open(os.devnull, os.O_RDWR)
    assert terminal.ended(5.0) > 0


NEVER_LEFT = """
import sys
from textual.drivers.linux_driver import LinuxDriver
from tui.__main__ import main
LinuxDriver.disable_input = lambda driver: None
sys.exit(main(["--open", "studies"]))
"""


def test_it_ends_where_leaving_the_terminal_fails(tmp_path: Path) -> None:
    """Textual's threads would keep the process, reading nothing at the full speed of a processor."""
    script = tmp_path / "lab.py"
    script.write_text(NEVER_LEFT)
    terminal = Terminal(tmp_path, (80, 24), command=[sys.executable, str(script)])
    terminal.until("No studies in")
    os.kill(terminal.pid, signal.SIGHUP)
    assert terminal.ended(5.0) == 128 + signal.SIGHUP


def test_without_a_terminal_it_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tui"],
        cwd=HOME,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr


@pytest.mark.parametrize(("stream", "name"), [("stdin", "input"), ("stdout", "output"), ("stderr", "error")])
def test_each_stream_has_to_be_a_terminal(tmp_path: Path, stream: str, name: str) -> None:
    ours, theirs = pty.openpty()
    told = tmp_path / "told"
    with told.open("w+") as file:
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs} | {stream: file}
        done = subprocess.run([sys.executable, "-m", "tui"], cwd=HOME, check=False, timeout=20, **streams)
    os.close(theirs)
    assert done.returncode == 2
    shown = told.read_text() if stream == "stderr" else os.read(ours, 4096).decode()
    os.close(ours)
    assert f"needs a terminal, and its {name}" in shown
    assert "\x1b" not in shown


def ended(*options: str, **variables: str) -> tuple[int, str]:
    """The exit code of a lab that does not begin in a terminal of its own, and what that showed."""
    ours, theirs = pty.openpty()
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    done = subprocess.run(
        [sys.executable, "-m", "tui", *options],
        cwd=HOME,
        env={**os.environ, **variables},
        check=False,
        timeout=20,
        **streams,
    )
    os.close(theirs)
    shown = os.read(ours, 4096).decode()
    os.close(ours)
    return done.returncode, shown


def test_a_terminal_without_a_cursor_gets_a_sentence() -> None:
    code, shown = ended(TERM="dumb")
    assert code == 2
    assert "TERM" in shown and "dumb" in shown and "\x1b" not in shown


@pytest.mark.parametrize(
    ("options", "variables", "told"),
    [
        (["--workspace", "~no-such-user/w"], {}, "The home folder in ~no-such-user/w is not known"),
        (["no-such-preset"], {}, "no-such-preset"),
        ([], {"SECATEUR_LOST_AFTER": "soon"}, "SECATEUR_LOST_AFTER is 'soon'"),
    ],
)
def test_what_it_can_not_begin_with_is_told_in_a_sentence(
    options: list[str], variables: dict[str, str], told: str
) -> None:
    code, shown = ended(*options, **variables)
    assert code == 2
    assert told in shown
    assert "Traceback" not in shown and "\x1b" not in shown


def test_the_process_never_imports_what_computes() -> None:
    names = "torch torchvision numpy sklearn onnx onnxruntime submitit pandas PIL"
    code = f"""
import pkgutil, sys, tui.__main__, tui.app
for module in pkgutil.walk_packages(tui.__path__, "tui."):
    __import__(module.name)
import engine.runner.launch, engine.runner.replay
print(*[name for name in {names.split()!r} if name in sys.modules])
"""
    assert printed(code).strip() == ""


def test_escape_sequences_may_arrive_in_pieces() -> None:
    code = "import tui, textual.constants as c; print(c.ESCAPE_DELAY)"
    assert float(printed(code)) >= 0.4


def test_the_first_frame_is_drawn_once(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, (120, 40))
    painted = b""
    while b"help" not in painted and terminal.process.poll() is None:
        painted += terminal.read(0.5)
    while data := terminal.read(0.5):
        painted += data
    assert painted.count(b"Studies") == 1
    assert terminal.close() == 0
