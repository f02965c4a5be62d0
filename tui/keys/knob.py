"""The knob's rows of the action table."""

from tui.keys.action import Action, rows


def _turns(id: str, keys: tuple[str, ...], label: str, text: str, by: int) -> Action:
    """An action that turns the knob one way; there is one for each direction."""
    return Action(id, keys, label, text, "knob", bool(label), "Knob", str(by))


KNOB: tuple[Action, ...] = (
    _turns("turn", ("left", "h"), "less", "One step towards less compression.", -1),
    _turns("turn", ("right", "l"), "more", "One step towards more compression.", 1),
    _turns("leap", ("shift+left", "pagedown"), "", "A large step towards less compression.", -1),
    _turns("leap", ("shift+right", "pageup"), "", "A large step towards more compression.", 1),
    _turns("end", ("home", "g"), "", "To the value that compresses least.", -1),
    _turns("end", ("end", "G"), "", "To the value that compresses most.", 1),
    _turns("technique", ("up", "k", "shift+tab"), "", "The technique before.", -1),
    _turns(
        "technique",
        ("down", "j", "tab"),
        "technique",
        "The next technique: weights, channels, rank or bits.",
        1,
    ),
    *rows(
        "knob",
        "Trial",
        ("open", ("enter",), "as preset", "Open the preset that makes this network in the lab."),
        ("run", ("f9", "r"), "run", "Run that preset at once as a new study, after those that run here."),
        ("again", ("a",), "", "Start the worker again, where it has ended."),
        ("copy", ("y", "Y"), "", "Copy the point, the steps that make it, or all points to your clipboard."),
    ),
)
