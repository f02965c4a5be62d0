"""The themes: light, dark, high contrast, one of 16 colours, and one that leaves every colour to the terminal."""

import contextlib
import os
from pathlib import Path

from textual.theme import Theme

from engine.store.paths import home

OWN = ("muted", "good", "bad", "warn", "key", "cursor-back", "cursor-ink", "border", "border-blurred")
"""Colours of ours beside Textual's."""

DARK = Theme(
    "dark",
    primary="#5fafd7",
    secondary="#87afaf",
    accent="#5fafd7",
    foreground="#d0d0d0",
    background="#1c1c1c",
    surface="#1c1c1c",
    panel="#303030",
    success="#87af5f",
    warning="#d7af5f",
    error="#ff8787",
    dark=True,
    variables={
        "muted": "#8a8a8a",
        "good": "#87af5f",
        "bad": "#ff8787",
        "warn": "#d7af5f",
        "key": "#5fafd7",
        "cursor-back": "#005f87",
        "cursor-ink": "#ffffff",
        "border": "#4e4e4e",
        "border-blurred": "#4e4e4e",
        "input-cursor-background": "#d0d0d0",
        "input-selection-background": "#005f87",
    },
)
LIGHT = Theme(
    "light",
    primary="#005f87",
    secondary="#5f5f87",
    accent="#005f87",
    foreground="#262626",
    background="#ffffff",
    surface="#ffffff",
    panel="#e4e4e4",
    success="#005f00",
    warning="#875f00",
    error="#af0000",
    dark=False,
    variables={
        "muted": "#6c6c6c",
        "good": "#005f00",
        "bad": "#af0000",
        "warn": "#875f00",
        "key": "#005f87",
        "cursor-back": "#afd7ff",
        "cursor-ink": "#000000",
        "border": "#b2b2b2",
        "border-blurred": "#b2b2b2",
        "input-cursor-background": "#262626",
        "input-selection-background": "#afd7ff",
    },
)
CONTRAST = Theme(
    "contrast",
    primary="#ffffff",
    secondary="#ffffff",
    accent="#ffff00",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    success="#00ff00",
    warning="#ffff00",
    error="#ff8787",
    dark=True,
    variables={
        "muted": "#d0d0d0",
        "good": "#00ff00",
        "bad": "#ff8787",
        "warn": "#ffff00",
        "key": "#ffff00",
        "cursor-back": "#ffffff",
        "cursor-ink": "#000000",
        "border": "#ffffff",
        "border-blurred": "#ffffff",
        "input-cursor-background": "#ffffff",
        "input-selection-background": "#005fff",
    },
)
PLAIN = Theme(
    "plain",
    primary="ansi_default",
    secondary="ansi_default",
    accent="ansi_default",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    success="ansi_default",
    warning="ansi_default",
    error="ansi_default",
    dark=True,
    ansi=True,
    variables={
        **dict.fromkeys(OWN, "ansi_default"),
        "cursor-style": "reverse",
        "dim-cursor-style": "underline",
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
        "block-cursor-foreground": "ansi_black",
        "block-cursor-background": "ansi_white",
        "input-cursor-background": "ansi_default",
        "input-cursor-foreground": "ansi_default",
        "input-cursor-text-style": "reverse",
        "input-selection-background": "ansi_white",
        "input-selection-foreground": "ansi_black",
        "screen-selection-background": "ansi_white",
        "screen-selection-foreground": "ansi_black",
    },
)
SIXTEEN = Theme(
    "sixteen",
    primary="ansi_cyan",
    secondary="ansi_default",
    accent="ansi_cyan",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    success="ansi_green",
    warning="ansi_yellow",
    error="ansi_red",
    dark=True,
    ansi=True,
    variables={
        **PLAIN.variables,
        "good": "ansi_green",
        "bad": "ansi_red",
        "warn": "ansi_yellow",
        "key": "ansi_cyan",
    },
)
THEMES = (DARK, LIGHT, CONTRAST, SIXTEEN, PLAIN)
DEFAULTS = {**DARK.variables, "cursor-style": "none", "dim-cursor-style": "none"}
"""Variables of ours for themes that do not set them."""


def chosen(colours: str | None = None) -> str:
    """The theme chosen last; else the dark one, or that of 16 colours on such a terminal (Rich calls it `standard`)."""
    file, name = _file(), ""
    with contextlib.suppress(OSError, ValueError):
        name = file.read_text("utf-8").strip() if file else ""
    if name in {theme.name for theme in THEMES}:
        return name
    return SIXTEEN.name if colours == "standard" else DARK.name


def remember(name: str) -> None:
    """Keep the choice for the next start; a home that is missing or can't be written to keeps none."""
    if file := _file():
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{name}\n", "utf-8")


def settings_folder() -> Path | None:
    """Where the lab keeps what was chosen in it; None where there is no home."""
    own, base = os.environ.get("XDG_CONFIG_HOME"), home()
    folder = Path(own) if own else base and base / ".config"
    return folder and folder / "secateur"


def _file() -> Path | None:
    folder = settings_folder()
    return folder and folder / "theme"
