"""The floor plan holds: rooms stand where it says, and imports go down only."""

from pathlib import Path

import pytest

from tests import HOME
from tests.architecture.floors import FLOORS, LOOSE, NOT_FOR, level
from tests.architecture.imports import below, cycles, imports, root


def _folder(house: str) -> Path:
    return HOME.joinpath(*house.split("."))


def _room(house: str, module: str) -> str:
    """The room of `house` that `module` lies in: `presets` for `engine.presets.yaml.tree`."""
    return module[len(house) + 1 :].partition(".")[0]


@pytest.mark.parametrize("house", FLOORS)
def test_the_plan_lists_every_room(house: str) -> None:
    rooms = {
        path.stem
        for path in _folder(house).iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()
    }
    assert rooms == set(level(house))


@pytest.mark.parametrize("house", FLOORS)
def test_no_module_lies_loose_that_is_not_listed(house: str) -> None:
    loose = {path.stem for path in _folder(house).glob("*.py")} - {"__init__"}
    assert loose == set(LOOSE[house].split())


@pytest.mark.parametrize("house", FLOORS)
def test_imports_go_down_only(house: str) -> None:
    floor = level(house)
    wrong = []
    for i in imports(root(house)):
        if not (below(i.module, house) and below(i.name, house)):
            continue
        one, other = _room(house, i.module), _room(house, i.name)
        if one and other and one != other and floor[other] >= floor[one]:
            wrong.append(str(i))
    assert not wrong


@pytest.mark.parametrize("house", NOT_FOR)
def test_a_house_does_without_the_rooms_that_are_not_for_it(house: str) -> None:
    top, rooms = root(house), set(NOT_FOR[house].split())
    assert not [str(i) for i in imports(top) if below(i.module, house) and _room(top, i.name) in rooms]


def test_no_files_import_each_other() -> None:
    """Not through functions or for type checkers either; the chain of a cycle is shown."""
    graph: dict[str, set[str]] = {}
    for i in (*imports("engine"), *imports("tui")):
        if root(i.name) in ("engine", "tui") and i.name != i.module:
            graph.setdefault(i.module, set()).add(i.name)
    assert list(cycles(graph)) == []
