"""Keeps README and docs true: writes their generated blocks from the code, and checks what they quote.

python -m tools.docs            write the blocks between <!-- begin:NAME --> and <!-- end:NAME -->, and the schema
python -m tools.docs --check    change nothing; exit code 1 when something is stale, a preset in a ```yaml block is
                                not valid, or a `secateur …` line is not one that the program takes
"""

import argparse
import ast
import contextlib
import difflib
import io
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.cli import declared
from engine.cli import main as cli
from engine.cli.params import default_text
from engine.cli.presets import counts as trials
from engine.errors import EXIT_CODES, SecateurError
from engine.machine import private
from engine.params import STEPS
from engine.params.base import StepParams
from engine.params.preset import Settings
from engine.params.rows import Row, describe, summary
from engine.params.schema import schema
from engine.presets import shipped as presets
from engine.presets import spec
from tests.architecture.floors import FLOORS, NOT_FOR
from tests.architecture.recipes import MOST, RECIPES
from tools import results
from tui.keys import markdown

HOME = Path(__file__).resolve().parent.parent

SCHEMA = HOME / "docs" / "reference" / "preset.schema.json"
LONGEST_README = 10_000
"""Bytes: a reader decides in five minutes; the rest stands in docs/."""


# Blocks


def parameters() -> str:
    """Every step and every section of a preset, a table each; what repeats is told once."""
    shared = describe(StepParams)
    parts = []
    described: dict[str, tuple[Row, ...]] = {}
    for kind, cls in STEPS.items():
        rows = tuple(row for row in describe(cls) if row not in shared)
        like = next(
            (k for k, known in described.items() if {r.path for r in known} == {r.path for r in rows}), ""
        )
        described[kind] = rows
        about = summary(cls)
        if like:
            about += f" The parameters are those of `{like}`, with other defaults for:"
            rows = tuple(row for row in rows if row not in described[like])
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
        default = default_text(row).removeprefix("default: ")
        help_ = row.help + (f" Only when {row.when}." if row.when else "")
        lines.append(f"| `{row.path}` | {_cell(row.allowed())} | {_cell(default)} | {_cell(help_)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def commands() -> str:
    """Every command with its usage and what it does."""
    lines = ["| command | what it does |", "|---|---|"]
    for command in declared.commands(cli.parser()):
        lines.append(f"| `{_cell(command.usage)}` | {_cell(command.about)} |")
    return "\n".join(lines)


def exit_codes() -> str:
    """What every exit code means."""
    rows = [f"| {code} | {_cell(meaning)} |" for code, meaning in EXIT_CODES.items()]
    return "\n".join(["| exit code | meaning |", "|---|---|", *rows])


def shipped() -> str:
    lines = ["| preset | trials | with `--quick` | time | about |", "|---|---|---|---|---|"]
    for preset in presets.shipped():
        counts = [count or "–" for count in trials(preset.path)]
        cells = [f"`{preset.name}`", *counts, results.preset_time(preset.name) or "–", _cell(preset.about)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def floors() -> str:
    """The floor plan: of each house its rooms, the highest floor first, with what they are for."""
    parts = []
    for house, rows in FLOORS.items():
        lines = [f"**`{house.replace('.', '/')}/`**", "", "| floor | rooms |", "|---|---|"]
        for number, rooms in reversed(list(enumerate(rows))):
            lines.append(f"| {number} | {_cell('<br>'.join(_room(house, room) for room in rooms.split()))} |")
        if house in NOT_FOR:
            lines += ["", f"Does without {', '.join(f'`{room}`' for room in NOT_FOR[house].split())}."]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _room(house: str, room: str) -> str:
    """A room's name with the first line of what its file says of it."""
    folder = HOME.joinpath(*house.split("."))
    file = folder / room / "__init__.py"
    docstring = ast.get_docstring(
        ast.parse((file if file.exists() else folder / f"{room}.py").read_text("utf-8"))
    )
    return f"`{room}`: {(docstring or '').splitlines()[0]}" if docstring else f"`{room}`"


def recipes() -> str:
    """What an addition of each kind touches beside its own files."""
    parts = [f"Beside its own files and its tests an addition touches at most {MOST} files."]
    for kind, recipe in RECIPES.items():
        own = f" ({', '.join(f'`{path}`' for path in recipe.own)})" if recipe.own else ""
        lines = [f"## {'An' if kind[0] in 'aeiou' else 'A'} {kind}", "", recipe.about, ""]
        lines += [f"Example: `{recipe.example}`{own}.", "", "| file | what it gets |", "|---|---|"]
        lines += [f"| `{path}` | {_cell(gets)} |" for path, gets in recipe.touches.items()]
        lines += ["", recipe.further] if recipe.further else []
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


BLOCKS: dict[str, Callable[[], str]] = {
    "parameters": parameters,
    "commands": commands,
    "exit-codes": exit_codes,
    "presets": shipped,
    "preset-results": results.presets,
    "keys": markdown.markdown,
    "floors": floors,
    "recipes": recipes,
    "results": results.page,
    "headline": results.headline,
}
"""The generated blocks by name; each stands once, in README.md or below docs/."""


def pages() -> dict[Path, str]:
    """README and every page of the docs, with their texts."""
    files = [HOME / "README.md", *sorted((HOME / "docs").rglob("*.md"))]
    return {path: path.read_text("utf-8") for path in files}


def regenerated(text: str) -> tuple[str, list[str], list[str]]:
    """A page with fresh blocks, which blocks it has, and what is wrong with its markers."""
    names, problems = [], []
    for name, make in BLOCKS.items():
        begin, end = f"<!-- begin:{name} -->", f"<!-- end:{name} -->"
        if text.count(begin) == text.count(end) == 1 and text.index(begin) < text.index(end):
            head, tail = text.index(begin) + len(begin), text.index(end)
            text = f"{text[:head]}\n{make()}\n{text[tail:]}"
            names.append(name)
        elif begin in text or end in text:
            problems.append(f"{begin} and {end} must stand there once each, in this order")
    return text, names, problems


def fresh_files(texts: dict[Path, str]) -> tuple[dict[Path, str], list[str]]:
    """Every generated file as it should be, and what is wrong with the blocks."""
    fresh, problems, seen = {}, [], []
    for path, text in texts.items():
        fresh[path], names, wrong = regenerated(text)
        seen += names
        problems += [f"{_shown(path)}: {problem}" for problem in wrong]
    problems += [
        f"the block {name} must stand once in README.md or docs/, it stands {seen.count(name)} times"
        for name in BLOCKS
        if seen.count(name) != 1
    ]
    fresh[SCHEMA] = json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
    return fresh, problems


def _shown(path: Path) -> str:
    return str(path.relative_to(HOME))


# What the pages quote


@dataclass(frozen=True)
class Fence:
    """A fenced block: its language, its text and the number of its first line."""

    language: str
    text: str
    line: int


def fences(text: str) -> list[Fence]:
    matches = re.finditer(r"^```([\w-]*)[^\n]*\n(.*?)^```[ \t]*$", text, re.MULTILINE | re.DOTALL)
    return [Fence(m[1], m[2], text.count("\n", 0, m.start(2)) + 1) for m in matches]


def preset_problems(text: str, name: str = "README.md") -> Iterator[str]:
    """Problems of the presets shown: every yaml block that has a `model:`, or a part of one."""
    for fence in fences(text):
        if fence.language in ("yaml", "yml") and re.search(r"^model:", fence.text, re.MULTILINE):
            try:
                _parse(_whole(fence.text))
            except SecateurError as error:
                yield f"{name}:{fence.line}: a preset that is not valid: {error}"


def _whole(text: str) -> str:
    """A part of a preset with the sections that every preset needs."""
    for section, example in (("data", "{name: digits}"), ("steps", "[{train: {}}]")):
        if not re.search(rf"^{section}:", text, re.MULTILINE):
            text += f"{section}: {example}\n"
    return text


def _parse(text: str) -> None:
    """Raises SecateurError; files that the preset names are there meanwhile."""
    with private.scratch() as folder:
        for name in re.findall(r"[\w./-]+\.(?:py|pth|pt|safetensors)\b", text):
            path = folder / name
            if path.resolve().is_relative_to(folder.resolve()):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        with contextlib.chdir(folder):
            spec.parse(text, "README", folder=folder)


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


def command_problems(text: str, name: str = "README.md") -> Iterator[str]:
    """Commands quoted that the program would refuse."""
    for number, line in command_lines(text):
        problem = _refused(line)
        if problem:
            yield f"{name}:{number}: `{line}`: {problem}"


def _refused(line: str) -> str:
    """Why the program does not take `line`; "" if it does, or if the line only outlines a command (…, [], COMMAND)."""
    words = _words(line)
    if not words or words[0].isupper() or any("…" in word or word.startswith("[-") for word in words):
        return ""
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            args = cli.parser().parse_args(words)
    except SystemExit:  # of --help or --version
        return ""
    except SecateurError as error:
        return error.title
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
    texts = pages()
    fresh, problems = fresh_files(texts)
    for path, text in fresh.items():
        before = path.read_text("utf-8") if path.exists() else ""
        if args.check and text != before:
            diff = difflib.unified_diff(
                before.splitlines(), text.splitlines(), _shown(path), "as generated", lineterm=""
            )
            problems.append(f"{_shown(path)} is stale, `make docs` writes it anew:\n" + "\n".join(diff))
        elif text != before:
            path.write_text(text, "utf-8")
            print(f"{_shown(path)} was written anew")
    for path in texts:
        shown = texts[path] if args.check else fresh[path]
        problems += [*preset_problems(shown, _shown(path)), *command_problems(shown, _shown(path))]
    size = len(fresh[HOME / "README.md"].encode())
    if size > LONGEST_README:
        problems.append(f"README.md has {size} bytes; at most {LONGEST_README} are a page that people read")
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
