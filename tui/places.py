"""The screens by the name of their place; each is imported when it is first opened."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from tui.keys.action import PLACES

if TYPE_CHECKING:
    from tui.app import Lab


def screen(place: str, app: "Lab") -> Screen[Any]:
    """A new screen for a place."""
    match place:
        case "studies":
            from tui.screens.studies import StudiesScreen

            return StudiesScreen()
        case "curves":
            from tui.screens.curves import CurvesScreen

            return CurvesScreen()
        case "trial":
            from tui.screens.trial import TrialScreen

            return TrialScreen()
        case "layers":
            from tui.screens.layers import LayersScreen

            return LayersScreen()
        case "log":
            from tui.screens.log import LogScreen

            return LogScreen()
        case _:
            from tui.screens.lab import LabScreen

            return LabScreen(app.preset)


def open_preset(app: "Lab", path: Path) -> None:
    """Hand a preset to the lab screen, which is on screen."""
    from tui.screens.lab import LabScreen

    if isinstance(app.screen, LabScreen):
        app.screen.open(path)


__all__ = ["PLACES", "open_preset", "screen"]
