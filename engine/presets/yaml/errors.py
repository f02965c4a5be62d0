"""What PyYAML says about text that is not YAML, in words that help."""

import yaml

_BLOCK_END = "expected <block end>"

# Part of PyYAML's message → what is wrong, what to do.
_MEANINGS = (
    ("'\\t'", "a tab", "spaces only for indentation"),
    ("special characters are not allowed", "a character that text files do not hold", "UTF-8 text"),
    ("mapping values are not allowed", "a `:` that is out of place", "other indentation, or quotes"),
    ("could not find expected ':'", "a name without `:`", "`name: value`"),
    ("expected ',' or ']'", "a list that is not closed", "`[a, b]`, closed by `]`"),
    ("expected ',' or '}'", "a mapping that is not closed", "`{name: value}`, closed by `}`"),
    ("while scanning a quoted scalar", "a quote that is not closed", "the same quote at both ends"),
    ("found undefined tag handle", "a tag (`!`)", "plain values only"),
    ("while scanning a tag", "a tag (`!`)", "plain values only"),
    ("while scanning an anchor", "a bare `&`", "quotes around text that begins with `&`"),
    ("while scanning an alias", "a bare `*`", "quotes around text that begins with `*`"),
    ("while scanning a directive", "a `%` at the start of a line", "no directives"),
    ("directive", "a `%` directive that is not understood", "no directives"),
    ("sequence entries are not allowed", "a `-` where no list can stand", "a list below its name, indented"),
    ("found duplicate anchor", "an anchor that is written twice", "each anchor once"),
    (_BLOCK_END, "a line indented unlike those above it", "the same indentation within a group"),
    ("cannot start any token", "a character that cannot begin a value", "quotes around such text"),
    ("expected the node content", "something that is no value", "a value, a list or `name: value`"),
    ("expected alphabetic or numeric", "a name that cannot be read", "letters and digits"),
)  # fmt: skip

_BEHIND = ("text behind a value that is closed", "quotes around the whole text")
"""What `_BLOCK_END` means where it is not a line's beginning that is out of place."""

# What was left open is noticed lines later; the line where it was opened is what helps.
_NEVER_CLOSED = ("while scanning a quoted scalar", "while scanning a simple key", "while parsing a flow")


def explain(error: Exception, text: str, line: int) -> tuple[int, str, str]:
    """The line (from 1), what is wrong and what is allowed; `line` is where reading had got to."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, int(error.position)) + 1
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        line = mark.line + 1
    opened = getattr(error, "context_mark", None)
    if opened is not None and any(part in str(error) for part in _NEVER_CLOSED):
        line = opened.line + 1
    behind = mark is not None and text.split("\n")[mark.line][: mark.column].strip()
    message = f"{getattr(error, 'context', '')} {getattr(error, 'problem', '')} {error}"
    for part, given, allowed in _MEANINGS:
        if part in message:
            given, allowed = _BEHIND if part == _BLOCK_END and behind else (given, allowed)
            return line, f"not YAML: {given}", allowed
    return line, "not YAML: this line cannot be read", "`name: value`, `- item`, `[a, b]` or `{name: value}`"
