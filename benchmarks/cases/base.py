"""A case: inputs, a command, and how its outcome is judged."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

HOME = Path(__file__).resolve().parents[2]
Verdict = Literal["right", "refused in words", "wrong"]
Write = Callable[[Path], str]
"""Writes the inputs into a folder and gives the preset's text."""

DATA = """
import numpy as np
def make(n, seed, channels=1):
    random, y = np.random.default_rng(seed), np.arange(n) % 4
    x = random.integers(0, 90, (n, 1, 16, 16), dtype=np.uint8)
    for image, k in zip(x, y):
        a, b = 1 + 8 * (k // 2), 1 + 8 * (k % 2)
        image[0, a:a + 6, b:b + 6] += 120  # the class is the quarter that is bright
    return np.repeat(x, channels, 1), y.astype(np.int64)
def load():
    return {"train": make(320, 0), "test": make(80, 1)}
def colour():
    return {"train": make(320, 0, 3), "test": make(80, 1, 3)}
"""
HEAD = "seed: 0\nthreads: 1\ndevice: cpu\n"
STEPS = """steps:
  - train: {epochs: 3, batch: 32, learning_rate: 0.05}
  - prune.weights: {sparsity: 0.5}
  - finetune: {epochs: 1, batch: 32}
"""
LEARNED = 0.6
"""Accuracy that tells that a network has learned something; chance is 0.25."""


@dataclass(frozen=True)
class Said:
    """What a command left: its exit code, its JSON, what it told on stderr, and the folder it ran in."""

    code: int
    answer: dict[str, Any]
    messages: str
    folder: Path

    @property
    def trials(self) -> list[dict[str, Any]]:
        trials: list[dict[str, Any]] = self.answer.get("trials", [])
        return trials

    @property
    def done(self) -> bool:
        return self.answer.get("status") == "done"

    @property
    def accuracies(self) -> list[float]:
        return [trial["results"]["accuracy"] for trial in self.trials if trial["results"]]

    @property
    def refused(self) -> bool:
        """Whether it said no in words of its own: no traceback, no bug of ours, nothing trained before."""
        ours = (
            "Traceback" in self.messages or "may be a bug" in self.messages or "Unexpected" in self.messages
        )
        trained = "epoch" in self.messages
        return self.code != 0 and not ours and not trained


def learned(said: Said) -> str:
    """Every trial is done, and its network knows more than chance."""
    if not said.done or not said.accuracies:
        return last(said.messages) or f"exit code {said.code}"
    low = min(said.accuracies)
    return "" if low >= LEARNED else f"accuracy {low:.2f}"


def last(output: str) -> str:
    """The sentence that matters of what was told on stderr."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    failed = [line for line in lines if "FAILED" in line or "secateur:" in line]
    return (failed or lines or [""])[-1][:160]


@dataclass(frozen=True)
class Case:
    """What is brought, and what is right. `judge` gives "" where the outcome is right, else what is wrong with it.

    `refusal`: whether a refusal in words, before anything is trained, is right too. `command` is what is run, the
    preset's name added.
    """

    id: str
    what: str
    write: Write
    judge: Callable[[Said], str] = learned
    refusal: bool = False
    command: tuple[str, ...] = ("run", "--json")
    needs: tuple[str, ...] = ()
    """Packages without which it is left out."""

    def outcome(self, said: Said) -> tuple[Verdict, str]:
        """The verdict, and what is wrong or was said."""
        wrong = self.judge(said)
        if not wrong:
            return "right", ""
        if self.refusal and said.refused:
            return "refused in words", last(said.messages)
        return "wrong", wrong


def run(case: Case, folder: Path) -> Said:
    """Write the case's inputs into `folder` and run its command there."""
    (folder / "data.py").write_text(DATA)
    (folder / "p.yaml").write_text(case.write(folder))
    return secateur(folder, *case.command, "p.yaml")


def secateur(folder: Path, *arguments: str) -> Said:
    """The program in `folder`, with a workspace in it."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(HOME),
        "SECATEUR_HOME": str(folder / "w"),
        "COLUMNS": "200",
    }
    command = [sys.executable, "-m", "engine.cli.main", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = {"text": done.stdout}
    return Said(
        done.returncode, answer if isinstance(answer, dict) else {"list": answer}, done.stderr, folder
    )


def preset(model: str, steps: str = STEPS, data: str = "{name: data.py:load}") -> str:
    return f"{HEAD}model: {model}\ndata: {data}\n{steps}"


def network(code: str, steps: str = STEPS, data: str = "{name: data.py:load}", more: str = "") -> Write:
    """A case of a network alone: its file `net.py`."""

    def write(folder: Path) -> str:
        (folder / "net.py").write_text("import torch\nfrom torch import nn\n" + code)
        return preset(f"{{name: net.py:build{more}}}", steps, data)

    return write


def python(folder: Path, code: str) -> None:
    """Run a script of the user's in `folder`, such as one that saves weights."""
    subprocess.run(
        [sys.executable, "-c", code], cwd=folder, check=True, env={**os.environ, "PYTHONPATH": str(HOME)}
    )
