"""Errors a user can act on: what went wrong, what was given and allowed, and what to do."""

from collections.abc import Mapping
from dataclasses import dataclass

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_DIFFERENT = 3
EXIT_HELD = 75
"""EX_TEMPFAIL of sysexits.h: what started the engine tells this end from others by it."""
EXIT_INTERRUPTED = 130
EXIT_SIGNAL = 128
"""Added to the number of the signal that ended a study, as shells do."""
EXIT_CODES = {
    0: "done",
    EXIT_FAILED: "failed",
    EXIT_USAGE: "wrong usage or preset: nothing was started and nothing written",
    EXIT_DIFFERENT: "a replay that differs from its original",
    EXIT_HELD: "the study has an engine already: try again later",
    EXIT_INTERRUPTED: "interrupted or cancelled",
    EXIT_SIGNAL + 15: "ended by SIGTERM; in general 128 and the number of the signal that ended the study",
}
"""What the exit codes of all commands mean; they stay as they are."""

BITS_COMMAND = "secateur doctor --bits"
"""Tells whether equal computations give equal bits on this machine: the remedy where a checkpoint is unequal."""

LESS_MEMORY = (
    "Use a smaller batch where a step trains, a smaller data.size or fewer trials at a time (`parallel`), "
    "or ask for more memory"
)
"""What makes a study need less memory: evaluation is done in pieces that fit as it is."""


def exit_code_of(signal: int) -> int:
    """The exit code of what a signal ended.

    >>> exit_code_of(15)
    143
    """
    return EXIT_SIGNAL + signal


class SecateurError(Exception):
    """A failure with a title, the detail (what was given, what is allowed) and a remedy.

    Every message a user sees is one of these; any other exception is a bug of ours and is
    shown as one, with its traceback in the engine's log.
    """

    exit_code = EXIT_FAILED

    def __init__(self, title: str, detail: str = "", remedy: str = "") -> None:
        super().__init__(title, detail, remedy)
        self.title = title
        self.detail = detail
        self.remedy = remedy

    def __str__(self) -> str:
        return "\n".join(part for part in (self.title, self.detail, self.remedy) if part)

    @property
    def sentence(self) -> str:
        """Title, detail and remedy in a row, for where there is one line."""
        return sentences(self.title, self.detail, self.remedy)

    def as_dict(self) -> dict[str, str]:
        return {"title": self.title, "detail": self.detail, "remedy": self.remedy}


class UsageError(SecateurError):
    """The request itself is wrong: nothing was started and nothing written."""

    @classmethod
    def of(cls, error: SecateurError) -> "UsageError":
        """The same, where what failed is what was asked for."""
        return cls(error.title, error.detail, error.remedy)

    exit_code = EXIT_USAGE


class OutOfReach(SecateurError):
    """A step can't go as far on this network as its parameter `field` asks: `most` is as far as it can."""

    def __init__(self, field: tuple[str, ...], most: float, title: str, detail: str, remedy: str) -> None:
        super().__init__(title, detail, remedy)
        self.field, self.most = field, most


class Unavailable(SecateurError):
    """A runtime cannot do what it is asked for, with this model or on this machine."""

    @property
    def reason(self) -> str:
        """Why, in one sentence."""
        return f"{self.title}: {self.detail}" if self.detail else self.title


ENDS = (".", "!", "?", ":", ";", "…")


def sentences(*parts: str) -> str:
    """Parts of a message in a row on one line, a full stop between those that have no end of their own.

    So have the lines of a part, but those that are set in, which are a list.

    >>> sentences("The model takes 3 channels", "", "Set data.size")
    'The model takes 3 channels. Set data.size'
    >>> sentences("It is not here", "Looked in\\n  /data\\n  /home")
    'It is not here. Looked in /data, /home'
    """
    whole = [line for part in parts for line in _unfolded(part)]
    return " ".join([*(part if part.endswith(ENDS) else f"{part}." for part in whole[:-1]), *whole[-1:]])


def _unfolded(text: str) -> list[str]:
    """The lines of a text, each with those that are set in below it."""
    out: list[str] = []
    inside = False
    for line in filter(str.strip, text.splitlines()):
        words, deeper = " ".join(line.split()), line[0].isspace()
        if out and deeper:
            out[-1] += f"{',' if inside else ''} {words}"
        else:
            out.append(words)
        inside = deeper
    return out


def sentence(error: Mapping[str, object]) -> str:
    """An error as events keep it (`title`, `detail`, `remedy`) on one line."""
    return sentences(*(str(error.get(part) or "") for part in ("title", "detail", "remedy")))


def said_by(error: BaseException) -> list[str]:
    """The lines of a library's own exception that say anything; its type where none does.

    >>> said_by(RuntimeError("\\n  no such operator\\n"))
    ['no such operator']
    """
    return [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a preset.

    `place` is ``file:line`` (or ``--set PATH`` for an override), `path` the dotted path of the value.
    """

    place: str
    path: str
    given: str
    allowed: str
    hint: str = ""

    def __str__(self) -> str:
        # `--set PATH` has told the path already, or the beginning of it.
        told = self.place.rpartition(" ")[2]
        within = f"{self.path}.".startswith((f"{told}.", f"{told}["))
        what = self.path.removeprefix(told).lstrip(".") if within else self.path
        where = f"{self.place}: {what}" if what else self.place
        text = f"{where}: {self.given}"
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        if self.hint:
            text += f" ({self.hint})"
        return text


class PresetInvalid(UsageError):
    """A preset with every problem found in it."""

    def __init__(self, name: str, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            f"Preset {name} is not valid: {count}",
            "\n".join(f"  {problem}" for problem in problems),
            "Nothing was started. `secateur params` lists every step and parameter.",
        )
