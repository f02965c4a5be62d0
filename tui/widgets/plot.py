"""The plot widget: a figure as terminal cells, of which only changed spans are sent."""

from textual.message import Message
from textual.widget import Widget

from engine.plotting.figure import Figure


class Plot(Widget, can_focus=True):
    """Shows a figure with its legend below; never raises from `render`."""

    class Moved(Message):
        """The cursor stands on another point; None: it is off."""

        def __init__(self, series: int | None, point: int | None) -> None:
            super().__init__()
            self.series = series
            self.point = point

    class Chosen(Moved):
        """Enter was pressed on a point."""

    def show(self, figure: Figure, *, live: bool = False) -> None:
        """Show `figure`. While `live`, axes only grow, so that a new point changes few cells."""
