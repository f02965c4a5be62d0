"""The files that settings are read from, and which of them decided each."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config.settings import BY_NAME, SETTINGS, Setting
from engine.errors import UsageError
from engine.store.files import open_ordinary
from engine.store.paths import home
from engine.text.phrases import suggest

NAME = "config.yaml"
THEME = "theme"
"""Beside it: the theme that was chosen in the lab last."""
LONGEST = 1 << 20


@dataclass(frozen=True)
class Given:
    """A value of a setting and where it is from: a file, an environment variable, or `default`."""

    setting: Setting
    value: Any
    source: str
    also: tuple[str, ...] = ()
    """Other files that set it, which did not decide."""


@dataclass(frozen=True)
class Config:
    """Every setting, and what is wrong in the files; a wrong value counts as not given."""

    given: Mapping[str, Given]
    problems: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.given[name].value

    def checked(self) -> "Config":
        """Itself. Raises UsageError where something is wrong in the files."""
        if self.problems:
            raise UsageError(
                "Your settings are not valid",
                "\n".join(self.problems),
                "`secateur config` shows all of them.",
            )
        return self


def user_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The user's own folder of settings (XDG base directories); None for a user without a home."""
    own, base = environment.get("XDG_CONFIG_HOME"), home()
    folder = Path(own) if own else base and base / ".config"
    return folder and folder / "secateur"


def files(environment: Mapping[str, str] = os.environ, name: str = NAME) -> list[Path]:
    """The files of this name that are looked for, the one that decides last: the site's, then the user's."""
    site = (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    user = user_folder(environment)
    shared = [Path(folder) / "secateur" / name for folder in reversed(site) if folder]
    return [*shared, *([user / name] if user else [])]


def load(environment: Mapping[str, str] = os.environ) -> Config:
    """Read them all."""
    found: dict[str, list[tuple[Any, str]]] = {}
    problems: list[str] = []
    user = user_folder(environment)
    if user and (chosen := _line(user / THEME)) in BY_NAME["theme"].choices:
        found["theme"] = [(chosen, str(user / THEME))]
    for path in files(environment):
        values, wrong = _read(path)
        problems += wrong
        for name, value in values.items():
            found.setdefault(name, []).append((value, str(path)))
    if environment.get("NO_COLOR"):
        found.setdefault("theme", []).append(("plain", "NO_COLOR"))
    return Config(
        {setting.name: _decided(setting, found.get(setting.name, [])) for setting in SETTINGS},
        tuple(problems),
    )


def within(given: float | None) -> float | None:
    """What the pick may lose: as given, else as in the settings. Raises UsageError where these are not valid."""
    if given is not None:
        return given
    value = load().checked()["within"]
    return None if value is None else float(value)


def _decided(setting: Setting, found: list[tuple[Any, str]]) -> Given:
    if not found:
        return Given(setting, setting.default, "default")
    *others, (value, source) = found
    return Given(setting, value, source, tuple(where for _, where in others))


def _read(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The valid values of a file, and what is wrong in it; nothing of one that is not there."""
    try:
        with open_ordinary(path) as file:
            content = file.read(LONGEST)
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        return {}, [f"{path}: it can't be read ({error.strerror})"]
    import yaml

    try:
        values = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return {}, [f"{path}: it is no YAML: {' '.join(str(error).split())}"]
    if values is None:
        return {}, []
    if not isinstance(values, dict):
        return {}, [f"{path}: it is no list of settings, such as theme: light"]
    problems = [f"{path}: {text}" for name, value in values.items() if (text := _problem(name, value))]
    return {name: value for name, value in values.items() if not _problem(name, value)}, problems


def _problem(name: Any, value: Any) -> str:
    if name in BY_NAME:
        return BY_NAME[name].problem(value)
    return (
        f"there is no setting {name}; {suggest(str(name), BY_NAME) or 'settings are ' + ', '.join(BY_NAME)}"
    )


def _line(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, ValueError):
        return ""


def remember_theme(name: str) -> None:
    """Keep the theme chosen in the lab for its next start; a home that is missing or can't be written to keeps none."""
    if folder := user_folder():
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / THEME).write_text(f"{name}\n", "utf-8")
