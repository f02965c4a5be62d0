"""What the lab's screen says of edits that can't be made."""

from pathlib import Path

import pytest

from tests.tui.screens.test_lab import lab, shown
from tui.lab.fields import fields_of
from tui.lab.text import Fixed

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")


async def test_a_value_within_what_is_swept_is_refused_with_the_reason(tmp_path: Path) -> None:
    preset = tmp_path / "swept.yaml"
    preset.write_text(
        "model: {name: resnet20}\ndata: {name: digits}\nsteps: [train, prune.weights]\n"
        "sweep: {prune.weights.schedule: [linear, cubic]}\n"
    )
    async with lab(tmp_path, preset=preset) as (screen, pilot):
        fields = fields_of(screen.document.root, 1)
        rounds = next(field for field in fields if field.address.path == "schedule.rounds")
        screen.enter(rounds, Fixed(3))
        await pilot.pause()
        assert "lies within prune.weights.schedule, which is swept" in " ".join(shown(pilot).split())
        assert not screen.document.dirty


async def test_a_search_for_the_best_version_of_its_network_is_a_key_away(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        await pilot.press("b")
        await pilot.pause()
        sought = screen.document.root.plain()
        assert sought["model"] == {"name": "resnet20"} and sought["search"]["smallest"] == "size.packed"
        assert [[*step] for step in sought["steps"]] == [["train"]] and "sweep" not in sought
        assert screen.document.name == "compress-quickstart" and screen.document.path is None
        await pilot.press("b")
        await pilot.pause()
        assert "a search already" in " ".join(shown(pilot).split())
