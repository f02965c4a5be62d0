"""Every setting: its kind, its default, what it is for; the files, the `config` command and the lab follow this."""

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["choice", "yes/no", "number", "names", "keys"]


@dataclass(frozen=True)
class Setting:
    """One of them; `least` and `most` bound a number, which may also be null where the default is."""

    name: str
    kind: Kind
    default: Any
    about: str
    choices: tuple[str, ...] = ()
    least: float = 0.0
    most: float = 0.0

    @property
    def allowed(self) -> str:
        """What it takes, in words."""
        match self.kind:
            case "choice":
                return f"one of {', '.join(self.choices)}"
            case "yes/no":
                return "true or false"
            case "number":
                return f"a number ≥ {self.least:g} and ≤ {self.most:g}{', or null' if self.default is None else ''}"
            case "names":
                return "a list of names"
            case "keys":
                return "names of actions with their keys, such as studies.report: ctrl+r, or a list of keys"

    def problem(self, value: Any) -> str:
        """What is wrong with a value; empty if nothing is."""
        fits = {
            "choice": value in self.choices,
            "yes/no": isinstance(value, bool),
            "number": (value is None and self.default is None) or self._in_bounds(value),
            "names": isinstance(value, list) and all(isinstance(one, str) for one in value),
            "keys": isinstance(value, dict) and all(map(_is_key, value.items())),
        }[self.kind]
        return "" if fits else f"{self.name}: given {value!r}; allowed: {self.allowed}"

    def _in_bounds(self, value: Any) -> bool:
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and self.least <= value <= self.most
        )


def _is_key(pair: tuple[Any, Any]) -> bool:
    name, keys = pair
    several = isinstance(keys, list) and bool(keys) and all(isinstance(key, str) for key in keys)
    return isinstance(name, str) and (isinstance(keys, str) or several)


SETTINGS = (
    Setting(
        "theme",
        "choice",
        "dark",
        "The lab's colours; ctrl+t goes to the next one and remembers it, unless a file says which. The default is "
        "`sixteen` on a terminal of 16 colours.",
        ("dark", "light", "contrast", "sixteen", "plain"),
    ),
    Setting(
        "mouse",
        "yes/no",
        False,
        "Whether the lab takes the mouse; then the terminal's own selection needs Shift.",
    ),
    Setting(
        "within",
        "number",
        None,
        "Points of validation accuracy that the pick may lose, in place of what presets say.",
        least=0,
        most=100,
    ),
    Setting(
        "columns", "names", [], "Columns of the lab's list of studies, in this order; none: all of them."
    ),
    Setting(
        "keys", "keys", {}, "Keys of the lab's actions, by their names; the docs' table of keys has them."
    ),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}
