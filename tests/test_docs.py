"""What `tools/docs.py --check` finds in a README."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).resolve().parent.parent / "tools" / "docs.py"
MARKERS = "\n".join(
    f"<!-- begin:{name} -->\n<!-- end:{name} -->" for name in ("parameters", "commands", "presets")
)


@pytest.fixture(scope="module")
def docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_blocks_hold_every_parameter_command_and_preset(docs: ModuleType) -> None:
    text, problems = docs.regenerated(MARKERS)
    assert not problems
    for expected in (
        "| `sparsity` | a number ≥ 0 and < 1 | 0.5 |",
        "`measure.latency.batch`",
        "secateur run ",
        "secateur data fetch ",
        "(presets/quickstart.yaml) | 14 |",
    ):
        assert expected in text
    assert docs.regenerated(text) == (text, [])


def test_missing_and_broken_markers_are_errors(docs: ModuleType) -> None:
    missing = docs.regenerated(MARKERS.replace("<!-- begin:commands -->", ""))[1]
    assert len(missing) == 1 and "commands" in missing[0]
    assert [name for name in docs.REQUIRED for p in docs.regenerated("")[1] if f"begin:{name} " in p]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("secateur run quickstart --set train.epochs=2 --json  # a comment", ""),
        ("secateur run PRESET [--set PATH=VALUE]…", ""),
        ("secateur presets quickstart > mine.yaml", ""),
        ("secateur run --help", ""),
        ("secateur COMMAND --help", ""),
        ("secateur run quickstart --epochs 2", "unrecognized arguments: --epochs 2"),
        ("secateur run quickstart --set train.epoch=2", "epochs"),
        ("secateur prune resnet20", "invalid choice: 'prune'"),
    ],
)
def test_quoted_commands_are_those_that_the_program_takes(docs: ModuleType, line: str, problem: str) -> None:
    for text in (f"```console\n$ {line}\noutput\n```\n", f"Say `{line}` now.\n"):
        found = list(docs.command_problems(text))
        assert (problem in found[0] and line in found[0]) if problem else not found


def test_presets_shown_are_valid(docs: ModuleType) -> None:
    part = "Text\n```yaml\nmodel: {name: my/net.py:build, weights: net.pth}\n```\n"
    assert not list(docs.preset_problems(part))
    (found,) = docs.preset_problems(part.replace("weights", "wieghts"))
    assert found.startswith("README.md:3: ") and "wieghts" in found
