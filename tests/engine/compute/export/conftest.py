"""Exported models that need torch run in a fork of a Python that has torch alone: `secateur export` starts one each."""

import json
import subprocess
from pathlib import Path

import pytest

from engine.compute.export import verify
from tests import lone

_cold = verify._started


def _warm(command: list[str], place: Path) -> "subprocess.CompletedProcess[str]":
    *_, program, job = command
    needs = json.loads(Path(job).read_text("utf-8"))["needs"]
    return lone.run(program, job, folder=place) if "torch" in needs else _cold(command, place)


@pytest.fixture(autouse=True)
def _warm_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_started", _warm)
