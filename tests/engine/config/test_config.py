"""Settings in files: the user's decide over the site's, what is wrong is told, and the command says which won."""

import json
from pathlib import Path

import pytest

from engine.cli.main import main
from engine.config import files
from engine.config.settings import BY_NAME
from engine.errors import UsageError
from engine.testing import folders
from tui.keys.keymap import keymap
from tui.themes import THEMES
from tui.views.studies import COLUMNS, chosen


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    site, user = (tmp_path / name / "secateur" / "config.yaml" for name in ("site", "user"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "site"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("SECATEUR_HOME", str(tmp_path / "w"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    for file in (site, user):
        file.parent.mkdir(parents=True)
    return site, user


def test_the_users_file_decides_and_the_command_says_so(
    places: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    site, user = places
    site.write_text("theme: light\nwithin: 3\n")
    user.write_text("theme: contrast\n")
    assert main(["config", "--json"]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["theme"] | {"about": "", "allowed": ""} == {
        "value": "contrast",
        "from": str(user),
        "also_in": [str(site)],
        "default": "dark",
        "about": "",
        "allowed": "",
    }
    assert settings["within"]["value"] == 3 and settings["mouse"]["from"] == "default"
    assert main(["config"]) == 0 and "contrast" in capsys.readouterr().out


@pytest.mark.parametrize("variables", [{}, {"XDG_CONFIG_DIRS": ""}])
def test_a_site_that_names_no_folders_has_the_usual_one(variables: dict[str, str]) -> None:
    """XDG base directories: not set and empty are the same."""
    assert Path("/etc/xdg/secateur/config.yaml") in files.files(variables)
    assert Path("/etc/xdg/secateur/slurm.yaml") in files.files(variables, "slurm.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "theme: pink",
        "withn: 2",
        "mouse: 1",
        "within: 101",
        "columns: pick",
        "keys: [a]",
        "- a",
        "a: [",
        "keys: {x: 3}",
    ],
)
def test_what_is_wrong_is_told_and_counts_as_not_given(
    places: tuple[Path, Path], capsys: pytest.CaptureFixture[str], text: str
) -> None:
    places[1].write_text(text)
    config = files.load()
    assert len(config.problems) == 1 and str(places[1]) in config.problems[0]
    assert all(given.source == "default" for given in config.given.values())
    assert main(["config"]) == 2 and "PROBLEM" in capsys.readouterr().out
    with pytest.raises(UsageError, match="not valid"):
        files.within(None)


def test_the_threshold_holds_for_list_show_and_curve_alike(
    places: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders.Study(tmp_path / "w", "a").start().finish()

    def picks() -> set[int]:
        assert (
            main(["show", "a-1", "--json"])
            == main(["list", "--json"])
            == main(["plot", "a-1", "--json"])
            == 0
        )
        shown, listed, drawn = _values(capsys.readouterr().out)
        starred = next(line for line in drawn["lines"] if line["name"] == "pick")["points"][0]["trials"]
        return {shown["pick"]["index"], listed[0]["pick"]["index"], *starred}

    assert picks() == {9}
    places[1].write_text("within: 5\n")
    assert picks() == {11}


def _values(text: str) -> list[object]:
    decoder, found = json.JSONDecoder(), []
    while text.strip():
        value, end = decoder.raw_decode(text.lstrip())
        found.append(value)
        text = text.lstrip()[end:]
    return found


def test_names_in_settings_are_those_of_the_lab() -> None:
    assert BY_NAME["theme"].choices == tuple(theme.name for theme in THEMES)
    assert [column.label for column in chosen(["pick", "study", "nonsense"])] == ["pick", "study"]
    assert chosen([]) == COLUMNS
    keys, wrong = keymap({"studies.report": "ctrl+r"})
    assert keys == {"studies.report": ("ctrl+r",)} and not wrong
    assert keymap({"studies.reprt": "x"})[1] and keymap({"studies.report": "d"})[1]
