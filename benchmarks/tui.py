"""What the terminal lab costs, measured through a pseudo-terminal as a user's terminal would see it.

    python benchmarks/tui.py [--size 120x40] [--only frame,keys,idle,live,many]

Prints: first frame (process start to painted frame) and when a key pressed then is answered; key to paint, p50
and p95, with a study running and every core busy; bytes a second while idle; bytes for a live point; opening a
list of 1,000 studies.
"""

import argparse
import multiprocessing
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.machine import private
from engine.testing import folders as fabricate
from tests.tui.terminal import Terminal

KEYS = 120
"""Keys timed for a percentile."""
MANY = 1000
EVENTS = 10_000


def _spin() -> None:
    while True:
        pass


@contextmanager
def busy() -> Iterator[None]:
    """Every core computes, as it does while the engine trains."""
    workers = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(os.cpu_count() or 1)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


@contextmanager
def running(workspace: Path, every: float) -> Iterator[None]:
    """A study whose trials go on, a step every so many seconds, in a process of its own."""

    def work(parent: int) -> None:
        study = fabricate.Study(workspace, "live").start()
        while os.getppid() == parent:
            for index in range(len(study.points)):
                for _ in study.steps_of(index):
                    time.sleep(every)

    worker = multiprocessing.get_context("fork").Process(target=work, args=(os.getpid(),), daemon=True)
    worker.start()
    time.sleep(0.3)
    try:
        yield
    finally:
        worker.kill()
        worker.join()


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def say(what: str, value: str, goal: str) -> None:
    print(f"{what:<58} {value:>22}   goal {goal}", flush=True)


def frame(workspace: Path, size: tuple[int, int]) -> None:
    frames, answers = [], []
    for _ in range(6):
        terminal = Terminal(workspace, size)
        frames.append(terminal.until("Studies", "help") - terminal.started)
        terminal.press("\x1b[B")
        answers.append(time.perf_counter() - terminal.started)
        terminal.settle()
        terminal.close()
    say("first frame, warm, median of 5", f"{statistics.median(frames[1:]):.2f} s", "≤ 0.4 s")
    say(
        "  a key pressed then is answered, since the start",
        f"{statistics.median(answers[1:]):.2f} s",
        "≤ 0.45 s",
    )


def keys(workspace: Path, size: tuple[int, int]) -> None:
    for _ in range(30):
        fabricate.finished(workspace, "past")
    for place, moves in (("studies", "jk"), ("curves", "lh"), ("lab", "\x1b[B\x1b[A")):
        with running(workspace, 0.2):
            terminal = Terminal(workspace, size, "--open", place)
            terminal.until("Studies", "help")
            time.sleep(2.5)
            terminal.settle_for(1.0)
            codes = [moves[:1], moves[1:]] if len(moves) == 2 else [moves[:3], moves[3:]]
            with busy():
                for key in (codes[0], codes[0]):
                    os.write(terminal.file, key.encode())
                terminal.settle_for(1.0)
                times = [_timed(terminal, codes[i % 2]) for i in range(KEYS)]
            terminal.close()
        text = f"{percentile(times, 0.5) * 1e3:.0f} / {percentile(times, 0.95) * 1e3:.0f} ms"
        say(f"key to paint, {place}, study running, cores busy, p50/p95", text, "p95 ≤ 50 ms")


def _timed(terminal: Terminal, key: str) -> float:
    time.sleep(0.05)
    return terminal.press(key)


def idle(workspace: Path, size: tuple[int, int]) -> None:
    fabricate.finished(workspace)
    for place in ("lab", "studies", "curves", "trial", "layers", "log"):
        terminal = Terminal(workspace, size, "--open", place)
        terminal.until("Studies", "help")
        terminal.settle_for(2.5)
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < 5.0:
            count += len(terminal.read(0.5))
        terminal.close()
        say(f"idle, {place}", f"{count / 5:.0f} B/s", "0 B/s")


def live(workspace: Path, size: tuple[int, int]) -> None:
    study = fabricate.Study(workspace, "live", scopes=("local", "global")).start()
    for index in range(7):  # one line is there already, so that the axes are settled
        study.trial(index)
    terminal = Terminal(workspace, size, "--open", "curves")
    terminal.until("Studies", "help")
    terminal.settle_for(2.5)
    counts = []
    for index in range(7, 13):
        study.trial(index)
        counts.append(terminal.settle_for(1.6))
    terminal.close()
    text = f"{statistics.median(counts):.0f}, at most {max(counts)} B"
    say("a live point on the curves (with bar and footer)", text, "≤ 600 B")


def many(workspace: Path, size: tuple[int, int]) -> None:
    fabricate.listed(workspace, MANY, EVENTS)
    terminal = Terminal(workspace, size, "--open", "log")
    terminal.until("Studies", "help")
    terminal.settle_for(2.0)
    start = time.perf_counter()
    os.write(terminal.file, b"3")
    shown = terminal.until(f"{MANY:,} studies") - start
    say(f"{MANY} studies × {EVENTS} events: list opens in", f"{shown:.2f} s", "≤ 0.5 s")
    terminal.settle()
    with busy():
        times = [_timed(terminal, "k" if (i // 20) % 2 == 0 else "j") for i in range(KEYS)]
    text = f"{percentile(times, 0.5) * 1e3:.0f} / {percentile(times, 0.95) * 1e3:.0f} ms"
    say("  key to paint in it, cores busy, p50/p95", text, "p95 ≤ 50 ms")
    terminal.close()


PARTS: dict[str, Callable[[Path, tuple[int, int]], None]] = {
    "frame": frame,
    "keys": keys,
    "idle": idle,
    "live": live,
    "many": many,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--only", default=",".join(PARTS))
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print(f"{width}x{height}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name in args.only.split(","):
        with private.scratch() as folder:
            PARTS[name](folder, (width, height))


if __name__ == "__main__":
    main()
