"""The rows of the action table for kinds of widgets: tables, texts, plots."""

from tui.keys.action import Action


def _moves(where: str, what: str) -> tuple[Action, ...]:
    group = "Moving"
    return (
        Action("move", ("up", "k"), "", f"One {what} up.", where, group=group, arguments="-1"),
        Action("move", ("down", "j"), "", f"One {what} down.", where, group=group, arguments="1"),
        Action("page", ("pageup", "ctrl+b"), "", "One page up.", where, group=group, arguments="-1"),
        Action("page", ("pagedown", "ctrl+f"), "", "One page down.", where, group=group, arguments="1"),
        Action("end", ("home", "g"), "", "To the beginning.", where, group=group, arguments="-1"),
        Action("end", ("end", "G"), "", "To the end.", where, group=group, arguments="1"),
    )


TABLE = (
    *_moves("table", "row"),
    Action("choose", ("enter",), "open", "Open the row.", "table", group="Moving"),
    Action(
        "columns",
        ("C",),
        "",
        "Choose the columns to show; the choice is kept.",
        "table",
        group="Look",
    ),
)
TEXT = _moves("text", "line")
PLOT = (
    Action("step", ("left", "h"), "", "To the point before.", "plot", group="Moving", arguments="-1"),
    Action("step", ("right", "l"), "", "To the next point.", "plot", group="Moving", arguments="1"),
    Action("line", ("up", "k"), "", "To the line before.", "plot", group="Moving", arguments="-1"),
    Action("line", ("down", "j"), "", "To the next line.", "plot", group="Moving", arguments="1"),
    Action("choose", ("enter",), "trial", "Open the point's trial.", "plot", footer=True, group="Moving"),
    Action("zoom", ("plus", "equals_sign"), "zoom", "Zoom in on the point.", "plot", True, "Zoom", "0.5"),
    Action(
        "front",
        ("z",),
        "to the front",
        "Zoom to the Pareto front, from its best point to the pick.",
        "plot",
        group="Zoom",
    ),
    Action("zoom", ("minus",), "", "Zoom out.", "plot", group="Zoom", arguments="2.0"),
    Action(
        "pan", ("less_than_sign", "shift+left"), "", "Move left.", "plot", group="Zoom", arguments="-1, 0"
    ),
    Action(
        "pan", ("greater_than_sign", "shift+right"), "", "Move right.", "plot", group="Zoom", arguments="1, 0"
    ),
    Action("pan", ("shift+up",), "", "Move up.", "plot", group="Zoom", arguments="0, 1"),
    Action("pan", ("shift+down",), "", "Move down.", "plot", group="Zoom", arguments="0, -1"),
    Action("reset", ("0",), "", "Show everything again.", "plot", group="Zoom"),
)
