"""Exported models that need torch run in a fork of a Python that has torch alone: `secateur export` starts one each."""

import pytest

from engine.compute.export import verify
from tests.warm import exports


@pytest.fixture(autouse=True)
def _warm_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_started", exports.started)
