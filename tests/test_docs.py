"""What `python -m tools.docs --check` finds in README and docs."""

import pytest

from tests import HOME
from tools import docs, results

PAGE = HOME / "README.md"
MARKERS = "\n".join(f"<!-- begin:{name} -->\n<!-- end:{name} -->" for name in docs.BLOCKS)


def test_blocks_hold_every_parameter_command_and_preset() -> None:
    text, found, problems = docs.regenerated(MARKERS)
    assert not problems and set(found) == set(docs.BLOCKS)
    for expected in (
        "| `sparsity` | a number ≥ 0 and < 1 | 0.5 |",
        "`measure.latency.batch`",
        "secateur run ",
        "secateur data fetch ",
        "| `quickstart` | 14 |",
        "`presets`: Presets: YAML text",
        "python -m benchmarks.int8",
    ):
        assert expected in text
    assert docs.regenerated(text) == (text, found, [])


def test_every_block_stands_once() -> None:
    assert not docs.fresh_files({PAGE: MARKERS})[1]
    (missing,) = docs.fresh_files(
        {PAGE: MARKERS.replace("begin:commands", "x").replace("end:commands", "x")}
    )[1]
    assert "commands" in missing and "0 times" in missing
    assert any("in this order" in p for p in docs.fresh_files({PAGE: MARKERS.replace("end:keys", "x")})[1])
    twice = {PAGE: MARKERS, HOME / "docs" / "index.md": MARKERS}
    assert len(docs.fresh_files(twice)[1]) == len(docs.BLOCKS)


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
def test_quoted_commands_are_those_that_the_program_takes(line: str, problem: str) -> None:
    for text in (f"```console\n$ {line}\noutput\n```\n", f"Say `{line}` now.\n"):
        found = list(docs.command_problems(text))
        assert (problem in found[0] and line in found[0]) if problem else not found


def test_presets_shown_are_valid() -> None:
    part = "Text\n```yaml\nmodel: {name: my/net.py:build, weights: net.pth}\n```\n"
    assert not list(docs.preset_problems(part))
    (found,) = docs.preset_problems(part.replace("weights", "wieghts"))
    assert found.startswith("README.md:3: ") and "wieghts" in found


def test_pages_name_themselves_in_what_is_wrong_with_them() -> None:
    assert next(docs.command_problems("`secateur prune`", "docs/start.md")).startswith("docs/start.md:1: ")


def test_what_a_preset_gave_says_so_once_the_preset_has_changed() -> None:
    text = "steps: [{train: {epochs: 2}}]\n"
    assert results.preset_digest(text) == results.preset_digest(f"# why\n{text}")
    assert results.preset_digest(text) != results.preset_digest(text.replace("2", "3"))
