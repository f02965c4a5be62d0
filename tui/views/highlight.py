"""A preset's YAML as lines of coloured spans: keys, values, comments, and what is wrong below its line."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import yaml

from engine.errors import Problem
from engine.text.tables import cell_width
from tui.widgets.painted import Line, Span
from tui.widgets.wrap import wrapped

KEY, VALUE, COMMENT, WRONG = "accent", "good", "muted", "bad"
COMMENTS = re.compile(r"(?:^|(?<=\s))#.*")
WORDS = re.compile(r"\S+\s*|\s+")
PLACE = re.compile(r":(\d+)(?: |$)")
"""The line, counted from 1, at the end of a problem's place."""


def highlighted(text: str, problems: Sequence[Problem], width: int) -> list[Line]:
    """The lines of `text`, at most `width` columns wide, each problem on the lines below the one that it is about.

    What stands behind a place that is not YAML stays plain.
    """
    marks = _marks(text)
    below: dict[int, list[Problem]] = {}
    for problem in problems:
        found = PLACE.search(problem.place)
        below.setdefault(int(found[1]) if found else 0, []).append(problem)
    lines = _told(below.pop(0, []), width)
    start = 0
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        wrong = number in below
        lines += _broken(_spans(line, start, marks, wrong), width)
        lines += _told(below.get(number, []), width)
        start += len(line)
    return lines


def _told(problems: Sequence[Problem], width: int) -> list[Line]:
    words = (f"! {p.given}" + (f"; allowed: {p.allowed}" if p.allowed else "") for p in problems)
    return [line for text in words for line in wrapped(text, width, WRONG)]


def _marks(text: str) -> list[str]:
    """The role of every character that belongs to a key or a value; empty for what stands between them."""
    roles = [""] * len(text)
    role = VALUE
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            match token:
                case yaml.KeyToken():
                    role = KEY
                case yaml.ValueToken() | yaml.BlockEntryToken() | yaml.FlowEntryToken():
                    role = VALUE
                case yaml.ScalarToken():
                    first, last = token.start_mark.index, token.end_mark.index
                    roles[first:last] = [role] * (last - first)
                    role = VALUE
    except yaml.YAMLError:
        pass  # up to here it is YAML; what is wrong is told below its line
    return roles


def _spans(line: str, start: int, marks: Sequence[str], wrong: bool) -> Line:
    """One line of the text, which begins at character `start`."""
    shown = line.rstrip("\r\n")
    if wrong:
        return [(shown, WRONG)]
    roles = list(marks[start : start + len(shown)])
    for comment in COMMENTS.finditer(shown):
        if not any(roles[comment.start() :]):
            roles[comment.start() :] = [COMMENT] * (len(shown) - comment.start())
            break
    edges = [0, *(i for i in range(1, len(shown)) if roles[i] != roles[i - 1]), len(shown)]
    return [(shown[a:b], roles[a]) for a, b in pairwise(edges) if b > a]


def _broken(line: Line, width: int) -> Iterator[Line]:
    """The line on as many lines as it needs, those that follow indented like it."""
    text = "".join(part for part, _ in line)
    indent = min(len(text) - len(text.lstrip()) + 2, width // 2)
    now: list[Span] = []
    used = 0
    for word, role in ((word, role) for part, role in line for word in WORDS.findall(part)):
        if used + cell_width(word.rstrip()) > width and used > indent:
            yield now
            now, used = [(" " * indent, "")], indent
        for char in word:
            if used + cell_width(char) > max(width, 1) and not char.isspace():
                yield now
                now, used = [(" " * indent, "")], indent
            if used + cell_width(char) <= width:
                now = (
                    [*now[:-1], (now[-1][0] + char, role)]
                    if now and now[-1][1] == role
                    else [*now, (char, role)]
                )
                used += cell_width(char)
    yield now
