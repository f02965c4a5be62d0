"""Every preset that comes with secateur, run end to end: its quick version, the quickstart as it is."""

from pathlib import Path

import pytest

from engine.presets import shipped, spec
from tests.engine.study_lab import Lab

TIMEOUT_S = 600.0
"""Many times what a quick preset needs where nothing else runs."""
AS_IT_IS = "quickstart"
"""Quick enough to be run whole."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [preset.name for preset in shipped.shipped()])
def test_the_preset_runs_to_its_end(name: str, tmp_path: Path) -> None:
    quick = name != AS_IT_IS
    path = shipped.find(name)
    trials = spec.read(path, quick=quick).trials
    found = Lab(tmp_path, TIMEOUT_S).json("run", str(path), *(["--quick"] if quick else []))
    assert found["status"] == "done"
    assert [trial["status"] for trial in found["trials"]] == ["done"] * len(trials)
