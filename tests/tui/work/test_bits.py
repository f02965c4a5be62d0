"""A trial whose checkpoint does not load back equal offers the check of this machine's bits, which really runs."""

from pathlib import Path

import pytest

from engine.errors import BITS_COMMAND
from engine.testing import folders as fabricate
from tests.study_lab import warm_variables
from tests.tui.screens.test_screens import shows
from tui.app import Lab
from tui.widgets.confirm import Notice

UNEQUAL = {
    "title": "The checkpoint does not load back equal",
    "detail": "Different: the output on a fixed input.",
    "remedy": f"`{BITS_COMMAND}` tells whether this machine gives the same bits twice.",
}

LOOKS = 3000
"""A tenth of a second apart: the check trains, in a process of its own, perhaps beside other programs."""


@pytest.mark.long
async def test_an_unequal_checkpoint_offers_the_check_of_this_machines_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in warm_variables().items():
        monkeypatch.setenv(name, value)
    fabricate.Study(tmp_path).start().fail(0, UNEQUAL)
    app = Lab(None, tmp_path, "trial")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, UNEQUAL["title"], BITS_COMMAND, "b runs that here")
        await pilot.press("b")
        await shows(pilot, "Checking this machine's bits")
        for _ in range(LOOKS):
            if isinstance(app.screen, Notice):
                break
            await pilot.pause(0.1)
        await shows(pilot, "This machine's bits", "Equal: trained twice, resumed, loaded at 16 addresses")
