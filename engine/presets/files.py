"""Files that a preset names: relative to its own folder where they are there, else to the current one."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engine.params.catalog import own_code
from engine.presets.yaml.tree import Listing, Mapping, Node, Scalar, at, put
from engine.store.paths import exists


def absolute(root: Mapping, folder: Path | None) -> Mapping:
    """The tree with every file it names made absolute, those in its sweep and its quick section too."""
    for path, change in _PATHS.items():
        keys = tuple(path.split("."))
        for written in (keys, ("quick", path)):
            node = at(root, *written)
            if node is not None:
                root = put(root, written, change(node, folder))
        for sweep in (("sweep", path), ("sweep", "zip", path), ("quick", f"sweep.{path}")):
            axis = at(root, *sweep)
            if isinstance(axis, Listing):
                root = put(root, sweep, _each(axis, change, folder))
    return _teachers(root, folder)


def _teachers(root: Mapping, folder: Path | None) -> Mapping:
    """The tree with the files of teachers made absolute: in steps, and where they are swept or made smaller."""
    for listing in (("steps",), ("search", "over")):
        steps = at(root, *listing)
        for index, item in enumerate(steps.items if isinstance(steps, Listing) else ()):
            for kind, params in item.items.items() if isinstance(item, Mapping) else ():
                for name, change in _OF_TEACHER.items():
                    node = at(params, "teacher", name)
                    if node is not None:
                        root = put(root, (*listing, index, kind, "teacher", name), change(node, folder))
    for section in (("sweep",), ("sweep", "zip"), ("quick",)):
        within = at(root, *section)
        for path, node in within.items.items() if isinstance(within, Mapping) else ():
            owner, _, name = path.rpartition(".")
            if not owner.endswith(".teacher") or name not in _OF_TEACHER:
                continue
            change = _OF_TEACHER[name]
            if isinstance(node, Listing):
                root = put(root, (*section, path), _each(node, change, folder))
            else:
                root = put(root, (*section, path), change(node, folder))
    return root


def _each(axis: Listing, change: Callable[[Node, Path | None], Node], folder: Path | None) -> Listing:
    return replace(axis, items=tuple(change(item, folder) for item in axis.items))


def _weights(node: Node, folder: Path | None) -> Node:
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not looks_like_file(node.value):
        return node
    if is_address(node.value):
        return node
    return _at(node, node.value, "", folder)


def _root(node: Node, folder: Path | None) -> Node:
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value:
        return node
    return _at(node, node.value, "", folder)


def _own_code(node: Node, folder: Path | None) -> Node:
    code = own_code(node.value) if isinstance(node, Scalar) and isinstance(node.value, str) else None
    if code is None or not isinstance(node, Scalar):
        return node
    return _at(node, code.file, f":{code.function}", folder)


def _at(node: Scalar, file: str, rest: str, folder: Path | None) -> Scalar:
    text = str(_absolute(file, folder)) + rest
    return replace(node, value=text, text=text)


def _absolute(file: str, folder: Path | None) -> Path:
    path = Path(file)
    if file.startswith("~"):
        try:
            path = path.expanduser()
        except RuntimeError:
            # `~nobody`: a user this machine does not know; the path is kept as written.
            return path
    if folder is not None and exists(folder / path):
        path = folder / path
    with contextlib.suppress(OSError):  # the working folder is gone: told with what else can't be used
        return path.absolute()
    return path


def is_address(text: str) -> bool:
    """Whether a text is an address in the internet and no path.

    >>> is_address("https://example.org/w.pth"), is_address("s3://w"), is_address("C:/w.pth")
    (True, True, False)
    """
    return "://" in text


def looks_like_file(text: str) -> bool:
    """Whether a text for `model.weights` is a path and not a misspelled word."""
    return "/" in text or "." in text


_PATHS: dict[str, Callable[[Node, Path | None], Node]] = {
    "model.weights": _weights,
    "model.name": _own_code,
    "data.root": _root,
    "data.name": _own_code,
}
_OF_TEACHER: dict[str, Callable[[Node, Path | None], Node]] = {"weights": _weights, "name": _own_code}
"""Parameters of a step's `teacher` that may be files."""
