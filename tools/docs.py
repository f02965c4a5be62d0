"""Keeps the README true: writes its generated blocks from the code, and checks what it quotes.

python tools/docs.py            write the blocks between <!-- begin:NAME --> and <!-- end:NAME -->
python tools/docs.py --check    change nothing; exit code 1 when a block is stale, a preset in a ```yaml block
                                is not valid, or a `secateur …` line is not one that the program takes
"""

import argparse
import contextlib
import difflib
import io
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from engine.cli import main as cli
from engine.cli.params import _default as default_text
from engine.cli.presets import counts as trials
from engine.errors import SecateurError
from engine.params import STEPS
from engine.params.base import StepParams
from engine.params.preset import Settings
from engine.params.rows import Row, describe, summary
from engine.presets import shipped as presets
from engine.presets import spec

HOME = Path(__file__).resolve().parent.parent

README = HOME / "README.md"
REQUIRED = ("parameters", "commands", "presets")
"""Blocks that the README must have."""


# Blocks


def parameters() -> str:
    """Every step and every section of a preset, a table each; what repeats is told once."""
    shared = describe(StepParams)
    parts = []
    told: dict[str, tuple[Row, ...]] = {}
    for kind, cls in STEPS.items():
        rows = tuple(row for row in describe(cls) if row not in shared)
        like = next((k for k, known in told.items() if {r.path for r in known} == {r.path for r in rows}), "")
        told[kind] = rows
        about = summary(cls)
        if like:
            about += f" The parameters are those of `{like}`, with other defaults for:"
            rows = tuple(row for row in rows if row not in told[like])
        parts.append(_table(f"`{kind}`", about, rows))
    parts.append(_table("Every step", "also takes:", shared))
    settings = describe(Settings)
    single = []
    for row in (row for row in settings if "." not in row.path):
        below = tuple(r for r in settings if r.path.startswith(f"{row.path}."))
        if below:
            parts.append(_table(f"`{row.path}`", row.help, below))
        else:
            single.append(row)
    return "\n\n".join([*parts, _table("Beside them", "", tuple(single))])


def _table(title: str, about: str, rows: tuple[Row, ...]) -> str:
    lines = [f"**{title}**{f' – {about}' if about else ''}", ""]
    lines += ["| parameter | takes | default | |", "|---|---|---|---|"]
    for row in rows:
        told = default_text(row).removeprefix("default: ")
        help_ = row.help + (f" Only when {row.when}." if row.when else "")
        lines.append(f"| `{row.path}` | {_cell(row.allowed())} | {_cell(told)} | {_cell(help_)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def commands() -> str:
    """Every command with its usage and what it does."""
    lines = ["| command | what it does |", "|---|---|"]
    for usage, about in _commands(cli.parser()):
        lines.append(f"| `{_cell(usage)}` | {_cell(about)} |")
    return "\n".join(lines)


def _commands(parser: argparse.ArgumentParser, about: str = "") -> Iterator[tuple[str, str]]:
    """Usage and one line of help of each command below `parser`, or of itself if there is none."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
        yield usage.replace("[-h] ", "").replace(" [-h]", ""), about
    for group in groups:
        texts = {choice.dest: choice.help or "" for choice in group._choices_actions}
        for name, below in group.choices.items():
            yield from _commands(below, texts.get(name, ""))


def shipped() -> str:
    lines = ["| preset | trials | with `--quick` | about |", "|---|---|---|---|"]
    for preset in presets.shipped():
        counts = " | ".join(count or "–" for count in trials(preset.path))
        lines.append(f"| [`{preset.name}`](presets/{preset.path.name}) | {counts} | {_cell(preset.about)} |")
    return "\n".join(lines)


def keys() -> str:
    from tui.keys import markdown

    return markdown.markdown()


def blocks() -> dict[str, Callable[[], str]]:
    """The generated blocks by name."""
    found = {"parameters": parameters, "commands": commands, "presets": shipped}
    return found | ({"keys": keys} if find_spec("tui.keys.markdown") else {})


def regenerated(text: str) -> tuple[str, list[str]]:
    """The README with fresh blocks, and what is wrong with its markers."""
    problems = []
    for name, make in blocks().items():
        begin, end = f"<!-- begin:{name} -->", f"<!-- end:{name} -->"
        if text.count(begin) == text.count(end) == 1 and text.index(begin) < text.index(end):
            head, tail = text.index(begin) + len(begin), text.index(end)
            text = f"{text[:head]}\n{make()}\n{text[tail:]}"
        elif begin in text or end in text:
            problems.append(f"{begin} and {end} must stand there once each, in this order")
        elif name in REQUIRED:
            problems.append(f"{begin} … {end} is missing")
    return text, problems


# What the README quotes


@dataclass(frozen=True)
class Fence:
    """A fenced block: its language, its text and the number of its first line."""

    language: str
    text: str
    line: int


def fences(text: str) -> list[Fence]:
    found = re.finditer(r"^```([\w-]*)[^\n]*\n(.*?)^```[ \t]*$", text, re.MULTILINE | re.DOTALL)
    return [Fence(m[1], m[2], text.count("\n", 0, m.start(2)) + 1) for m in found]


def preset_problems(text: str) -> Iterator[str]:
    """Problems of the presets shown: every yaml block that has a `model:`, or a part of one."""
    for fence in fences(text):
        if fence.language in ("yaml", "yml") and re.search(r"^model:", fence.text, re.MULTILINE):
            try:
                _parse(_whole(fence.text))
            except SecateurError as error:
                yield f"README.md:{fence.line}: a preset that is not valid: {error}"


def _whole(text: str) -> str:
    """A part of a preset with the sections that every preset needs."""
    for section, example in (("data", "{name: digits}"), ("steps", "[{train: {}}]")):
        if not re.search(rf"^{section}:", text, re.MULTILINE):
            text += f"{section}: {example}\n"
    return text


def _parse(text: str) -> None:
    """Raises SecateurError; files that the preset names are there meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        for name in re.findall(r"[\w./-]+\.(?:py|pth|pt|safetensors)\b", text):
            path = Path(folder, name)
            if path.resolve().is_relative_to(Path(folder).resolve()):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        with contextlib.chdir(folder):
            spec.parse(text, "README", folder=Path(folder))


def command_lines(text: str) -> Iterator[tuple[int, str]]:
    """Line number and text of each `secateur …` quoted, in blocks and in running text."""
    prose = text
    for fence in fences(text):
        prose = prose.replace(fence.text, "\n" * fence.text.count("\n"), 1)
        if fence.language in ("", "sh", "bash", "console", "shell", "text"):
            for number, line in enumerate(fence.text.splitlines(), fence.line):
                if match := re.match(r"\s*(?:\$ )?(?:\S+/)?(secateur(?: .*)?)$", line):
                    yield number, match[1]
    for match in re.finditer(r"`(secateur(?: [^`]*)?)`", prose):
        yield prose.count("\n", 0, match.start()) + 1, match[1]


def command_problems(text: str) -> Iterator[str]:
    """Commands quoted that the program would refuse."""
    for number, line in command_lines(text):
        problem = _refused(line)
        if problem:
            yield f"README.md:{number}: `{line}`: {problem}"


def _refused(line: str) -> str:
    """Why the program does not take `line`; "" if it does, or if the line only outlines a command (…, [], COMMAND)."""
    words = _words(line)
    if not words or words[0].isupper() or any("…" in word or word.startswith("[-") for word in words):
        return ""
    heard = io.StringIO()
    try:
        with contextlib.redirect_stderr(heard), contextlib.redirect_stdout(io.StringIO()):
            args = cli.parser().parse_args(words)
    except SystemExit as ending:  # 0: --help or --version
        return heard.getvalue().strip().splitlines()[-1] if ending.code else ""
    if words[0] == "run" and Path(args.preset).stem in {preset.name for preset in presets.shipped()}:
        try:
            spec.read(presets.find(Path(args.preset).stem), args.overrides, quick=args.quick)
        except SecateurError as error:
            return str(error)
    return ""


def _words(line: str) -> list[str]:
    """The command's own words, up to a comment, a redirection, a pipe or the next command."""
    words = shlex.split(line, comments=True)[1:]
    end = next(
        (i for i, word in enumerate(words) if re.fullmatch(r"\||&&|;|&|\d?>>?.*|<.*", word)), len(words)
    )
    return words[:end]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only say what is wrong")
    args = parser.parse_args()
    text = README.read_text("utf-8")
    fresh, problems = regenerated(text)
    if args.check and fresh != text:
        diff = difflib.unified_diff(
            text.splitlines(), fresh.splitlines(), "README.md", "as generated", lineterm=""
        )
        problems.append("README.md is stale, `make docs` writes it anew:\n" + "\n".join(diff))
    elif fresh != text:
        README.write_text(fresh, "utf-8")
        print("README.md was written anew")
    shown = text if args.check else fresh
    problems += [*preset_problems(shown), *command_problems(shown)]
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
