"""The lab's own widgets: what they send, and that odd content does not break them."""

import math
from collections.abc import Sequence

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region

from engine.plotting.figure import Figure, Reference
from tests.engine.plotting.lines import series
from tui import themes
from tui.widgets.painted import Line, Painted
from tui.widgets.plot import Plot
from tui.widgets.table import Column, Row, Table
from tui.widgets.wrap import wrapped


class Host(App[None]):
    """Holds one widget, and notes what it refreshes."""

    def __init__(self, widget: Painted) -> None:
        super().__init__()
        self.widget = widget
        self.regions: list[Region] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.DEFAULTS

    def compose(self) -> ComposeResult:
        yield self.widget

    def note(self) -> list[Region]:
        """Note refreshed regions from now on."""
        self.regions = []
        refresh = Painted.refresh.__get__(self.widget)

        def noting(*regions: Region, **options: bool) -> Painted:
            self.regions += regions or (self.widget.region,)
            return refresh(*regions, **options)  # type: ignore[no-any-return]

        self.widget.refresh = noting  # type: ignore[method-assign]
        return self.regions

    def text(self) -> list[str]:
        return [self.widget.render_line(y).text for y in range(self.widget.size.height)]


class Lines(Painted):
    shown_lines: Sequence[Line] = ()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        return self.shown_lines


async def test_only_cells_that_changed_are_refreshed() -> None:
    widget = Lines()
    app = Host(widget)
    async with app.run_test(size=(40, 5)):
        widget.shown_lines = [[("accuracy 91.3 %", "")], [("same", "good")]]
        widget.redraw()
        regions = app.note()
        widget.shown_lines = [[("accuracy 91.7 %", "")], [("same", "good")]]
        widget.redraw()
        assert regions == [Region(12, 0, 1, 1)]
        widget.redraw()
        assert len(regions) == 1
        widget.shown_lines = [[("accuracy 91.7 %", "")], [("same", "bad")]]
        widget.redraw()
        assert regions[1:] == [Region(0, 1, 4, 1)]


async def test_wide_and_odd_characters_keep_their_columns() -> None:
    widget = Lines()
    app = Host(widget)
    async with app.run_test(size=(10, 3)):
        widget.shown_lines = [[("a日本b", "")], [("x\ty\x1b\x00z", "")], [("日本日本日本", "")]]
        widget.redraw()
        assert app.text() == ["a日本b    ", "x y  z    ", "日本日本… "]
        regions = app.note()
        widget.shown_lines = [[("a日木b", "")], [("x\ty\x1b\x00z", "")], [("日本日本日本", "")]]
        widget.redraw()
        assert regions == [Region(3, 0, 2, 1)]


async def test_letters_that_join_the_one_before_are_drawn_with_it_and_take_no_column() -> None:
    widget = Lines()
    app = Host(widget)
    async with app.run_test(size=(12, 3)):
        widget.shown_lines = [[("re\u0301sume\u0301|", "")], [("नमस्ते|", "good")], [("模\u0301|\u202e|", "")]]
        widget.redraw()
        assert app.text() == ["re\u0301sume\u0301|     ", "नमस्ते|       ", "模\u0301| |       "]


ODD = [
    Figure(),
    Figure(series=(series("a", [0.0], [0.5]),)),
    Figure(series=(series("a", [0.0, 1.0], [math.inf, math.nan]),), y_scale="log"),
    Figure(series=(series("a", [0.0, -1.0, 1.0], [0.0, -1.0, 1e308]),), x_scale="log", y_scale="log"),
    Figure(series=(series("日本", ["x", None, 3.0], [1, None, 2]),), references=(Reference("b", math.nan),)),
    Figure(series=(series("a", range(100_000), [i % 7 for i in range(100_000)]),)),
    Figure(series=tuple(series(str(i), [0.0, 1.0], [i, i]) for i in range(60))),
]


@pytest.mark.parametrize("figure", ODD)
@pytest.mark.parametrize("size", [(80, 24), (21, 7), (5, 2), (1, 1)])
async def test_a_plot_never_raises(figure: Figure, size: tuple[int, int]) -> None:
    widget = Plot()
    async with Host(widget).run_test(size=size) as pilot:
        widget.focus()
        widget.show(figure, live=True)
        await pilot.press("right", "down", "plus", "right", "minus", "L", "less_than_sign", "enter", "0")
        widget.show(Figure(), live=True)
        widget.show(figure)


async def test_axes_stand_still_while_live() -> None:
    widget = Plot()
    app = Host(widget)
    async with app.run_test(size=(80, 24)):
        xs = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
        start = Figure(
            series=(series("a", xs, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]), series("b", xs[:3], [0.88, 0.85, 0.8]))
        )
        widget.show(start, live=True)
        before = widget.shown.x_limits, widget.shown.y_limits
        regions = app.note()
        widget.show(
            Figure(series=(start.series[0], series("b", xs[:4], [0.88, 0.85, 0.8, 0.7]))),
            live=True,
        )
        assert (widget.shown.x_limits, widget.shown.y_limits) == before
        assert regions
        assert sum(region.area for region in regions) < 60


async def test_of_something_else_all_is_shown_on_axes_of_its_own() -> None:
    wide = Figure(series=(series("a", [0.0, 50.0, 100.0], [1, 2, 3]),))
    narrow = Figure(series=(series("a", [0.0, 0.5, 1.0], [1, 2, 3]),))
    widget = Plot()
    async with Host(widget).run_test(size=(80, 24)) as pilot:
        widget.focus()
        widget.show(wide, "one study", live=True)
        await pilot.press("right", "plus")
        widget.show(wide, "one study", live=True)
        assert widget.zoomed and widget.cursor == (0, 0)
        widget.show(narrow, "another", live=True)
        assert not widget.zoomed and widget.cursor is None
        assert widget.shown.x_limits is not None and widget.shown.x_limits[1] < 2


async def test_a_cursor_walks_every_point() -> None:
    widget = Plot()
    async with Host(widget).run_test(size=(80, 24)) as pilot:
        widget.focus()
        widget.show(
            Figure(series=(series("a", [0.0, 1.0, 2.0], [1, None, 3]), series("b", [0.0, 2.0], [2, 2])))
        )
        seen = []
        for key in ("right", "right", "right", "down", "left", "up"):
            await pilot.press(key)
            seen.append(widget.cursor)
        assert seen == [(0, 0), (0, 2), (0, 2), (1, 1), (1, 0), (0, 0)]


async def test_a_table_keeps_its_row_when_filled_anew() -> None:
    table = Table([Column("name"), Column("value", "right")])
    async with Host(table).run_test(size=(40, 6)) as pilot:
        table.focus()
        table.fill([Row(str(i), (f"row {i}", str(i))) for i in range(100)])
        await pilot.press("G", "up", "up")
        assert table.key == "97"
        table.fill([Row(str(i), (f"row {i}", str(i))) for i in range(99, -1, -1)])
        assert table.key == "97"
        table.fill([Row(str(i), (f"row {i}", str(i))) for i in range(10)])
        assert table.key == "2"
        table.fill([])
        assert table.key is None
        await pilot.press("j", "k", "G", "enter", "pagedown")


async def test_a_narrow_table_shows_numbers_whole_or_not_at_all() -> None:
    table = Table([Column("name"), Column("value", "right"), Column("more", "right", rank=1)])
    app = Host(table)
    async with app.run_test(size=(30, 4)):
        table.fill([Row("a", ("a very long name that can be cut", "123456.7", "98765.4"))])
        assert "123456.7" in app.text()[1] and "…" in app.text()[1]
        assert "98765.4" not in app.text()[1] or "a very" in app.text()[1]


def test_wrapping_loses_nothing() -> None:
    text = "one two verylongwordthatdoesnotfit three"
    lines = ["".join(span[0] for span in line) for line in wrapped(text, 10)]
    assert all(len(line) <= 10 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_number_stays_with_its_unit() -> None:
    lines = ["".join(span[0] for span in line) for line in wrapped("takes 12.9 kB, loses 1 % of 30", 13)]
    assert lines == ["takes", "12.9 kB,", "loses 1 % of", "30"]
