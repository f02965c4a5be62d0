"""What the data of a preset are, with a few of their images: `secateur data check` in a process of its own."""

from pathlib import Path
from typing import Any

from engine.machine import private
from engine.presets.spec import Spec, to_yaml
from tui.work.command import answer

IMAGES = 12
"""Small images that are shown: a row or two of them."""


async def look(spec: Spec, workspace: Path) -> list[dict[str, Any]]:
    """The report on each data section of a preset, with `thumbnails` of its images.

    Raises SecateurError when the data can't be read at all.
    """
    with private.scratch() as folder:
        preset = folder / "preset.yaml"
        preset.write_text(to_yaml(spec.document), "utf-8")
        words = [
            "data",
            "check",
            str(preset),
            "--json",
            "--images",
            str(IMAGES),
            "--workspace",
            str(workspace),
        ]
        report = await answer(words, "The data can't be looked at", "secateur data check PRESET")
    sections: list[dict[str, Any]] = report["data"]
    return sections
