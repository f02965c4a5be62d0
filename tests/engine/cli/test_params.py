"""`secateur params` and `secateur presets`."""

import argparse
import json
from collections.abc import Callable

import pytest

from engine.cli import params, presets
from engine.errors import UsageError
from engine.params import STEPS

Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "80")
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    params.add(subparsers)
    presets.add(subparsers)

    def command(*words: str) -> str:
        args = parser.parse_args(words)
        assert args.run(args) == 0
        return capsys.readouterr().out

    return command


TOPICS = ("measure", "data", "model", "plot")


@pytest.mark.parametrize(
    "words", [("presets",), ("params",), *(("params", topic) for topic in (*STEPS, *TOPICS))]
)
def test_everything_fits_a_terminal_of_80_columns(
    run: Run, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert max(len(line) for line in run(*words).splitlines()) <= 80


@pytest.mark.parametrize("words", [("presets",), ("params",)])
def test_nothing_is_cut_where_no_terminal_shows_it(run: Run, words: tuple[str, ...]) -> None:
    assert "…" not in run(*words)


def test_the_overview_names_every_step_and_section(run: Run) -> None:
    text = run("params")
    for name in (*STEPS, "model", "data", "measure", "executor", "plot", "seed"):
        assert f"\n  {name} " in text


def test_a_step_is_told_with_bounds_unit_default_and_help(run: Run) -> None:
    text = run("params", "prune.weights")
    assert (
        "sparsity                a number ≥ 0 and < 1; default: 0.5\n    Share of the prunable weights"
        in text
    )
    assert "Only when\n    schedule = linear or cubic." in text


@pytest.mark.parametrize(
    ("topic", "names"),
    [
        ("prune.weights.sparsity", ["sparsity"]),
        ("prune.weights.schedule.rounds", ["schedule.rounds"]),
        ("executor.local", ["executor.local.parallel"]),
        ("data.limit", ["data.limit"]),
        ("seed", ["seed"]),
    ],
)
def test_single_parameters_and_groups_are_found(run: Run, topic: str, names: list[str]) -> None:
    assert [row["path"] for row in json.loads(run("params", topic, "--json"))["parameters"]] == names


@pytest.mark.parametrize(
    ("topic", "meant"), [("prune", "prune.weights"), ("trian", "train"), ("modle", "model")]
)
def test_an_unknown_name_is_corrected(run: Run, topic: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"Did you mean {meant}\\?"):
        run("params", topic)


def test_json_is_one_object_with_everything(run: Run) -> None:
    everything = json.loads(run("params", "--json"))
    assert {step["name"] for step in everything["steps"]} == set(STEPS)
    assert "model" in {section["name"] for section in everything["sections"]}


def test_presets_are_listed_with_their_trials(run: Run) -> None:
    listed = {preset["name"]: preset for preset in json.loads(run("presets", "--json"))["presets"]}
    assert listed["local-vs-global"]["trials"] == 20
    assert "quickstart" in run("presets")


def test_a_preset_is_printed_with_its_comments(run: Run) -> None:
    assert run("presets", "quickstart").startswith("# quickstart")
