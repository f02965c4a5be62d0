"""The lab screen's rows of the action table."""

from tui.keys.action import Action, rows


def _way(id: str, keys: tuple[str, ...], text: str, group: str, by: int) -> Action:
    """An action with a direction; there is one for each of the two."""
    return Action(id, keys, "", text, "lab", group=group, arguments=str(by))


LAB: tuple[Action, ...] = (
    *rows(
        "lab",
        "Preset",
        ("run", ("f9", "r"), "run", "Run this preset as a study, after showing every value."),
        ("sweep", ("f8", "s"), "sweep", "Try several values of the selected parameter: a trial for each."),
        ("default", ("ctrl+r",), "default", "Set the selected parameter back to its default."),
        ("undo", ("ctrl+z", "u"), "undo", "Take the last change back."),
        ("redo", ("ctrl+y", "U"), "", "Make the change again that was taken back."),
        ("save", ("ctrl+s",), "save", "Save the preset to its file."),
        ("save_as", ("S",), "", "Save the preset to another file."),
        ("open", ("ctrl+o",), "open", "Open a preset: one that comes with secateur, or a file."),
        ("new", ("ctrl+n",), "", "Start a new preset."),
        (
            "compress",
            ("b",),
            "",
            "Begin a new preset that searches for the best compressed version of this one's network.",
        ),
        ("copy", ("y", "Y"), "", "Copy the preset or the command that runs it to your clipboard."),
        ("editor", ("E",), "", "Edit the preset as YAML in $VISUAL or $EDITOR; what comes back is checked."),
        ("yaml", ("v",), "", "View the preset as YAML, as it would be saved."),
        (
            "diff",
            ("w",),
            "",
            "View what was changed since the preset was opened or saved, and what undo takes back.",
        ),
        ("problems", ("exclamation_mark",), "", "List everything that is wrong with the preset."),
    ),
    *rows(
        "lab",
        "Model, data and place",
        ("pick_model", ("m",), "", "Choose the model."),
        ("pick_data", ("i",), "", "Choose the data set; what is not on this machine says why."),
        ("pick_place", ("P",), "", "Choose where it runs: this machine, or a partition of the cluster."),
        ("look", ("I",), "", "Look at the data: classes, splits, values, what is unusual, and a few images."),
    ),
    *rows(
        "lab",
        "Steps",
        ("add", ("ctrl+g", "a"), "add step", "Add a step after the selected one."),
        ("remove", ("d", "delete"), "", "Remove the selected step, or end the selected sweep."),
        ("duplicate", ("c",), "", "Copy the selected step."),
        ("switch", ("space",), "", "Switch the selected step off or on."),
    ),
    _way("shift", ("K", "shift+up"), "Move the selected step up.", "Steps", -1),
    _way("shift", ("J", "shift+down"), "Move the selected step down.", "Steps", 1),
    *rows(
        "lab",
        "Sweep",
        ("together", ("z",), "", "Let the selected sweep vary together with others, or multiply with them."),
    ),
    _way("cycle", ("left", "h"), "The value before, in a choice.", "Moving", -1),
    _way("cycle", ("right", "l"), "The next value of a choice; from the outline into the form.", "Moving", 1),
    *rows(
        "lab",
        "Moving",
        ("next_view", ("ctrl+l",), "view", "Next view: the preset, its curve, its trials."),
        ("outline", ("escape",), "", "Back to the preset's outline; from there, to the place before."),
    ),
)
