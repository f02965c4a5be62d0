"""The command line as a whole: which module declares which command, and what a command brings along."""

import argparse
from importlib import import_module
from pathlib import Path

import pytest

from engine.cli.main import COMMANDS, parser
from tests.fresh import printed


@pytest.mark.parametrize("module", COMMANDS)
def test_a_module_declares_the_commands_that_the_table_says(module: str) -> None:
    commands = argparse.ArgumentParser().add_subparsers()
    import_module(f"engine.cli.{module}").add(commands)
    assert tuple(commands.choices) == COMMANDS[module]


@pytest.mark.parametrize("command", [name for names in COMMANDS.values() for name in names])
def test_a_command_has_the_same_help_alone_and_among_all(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for made in (parser(), parser(command)):
        with pytest.raises(SystemExit):
            made.parse_args([command, "--help"])
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != ""


def test_a_command_brings_along_only_what_it_needs(tmp_path: Path) -> None:
    """Listing studies is what one does most often, and starting the lab must not wait for other commands."""
    code = (
        "import sys; from engine.cli.main import main, parser; parser('lab'); main(['list']); "
        "print(*(name for name in ('pydantic', 'yaml', 'asyncio', 'engine.studies.state') if name in sys.modules))"
    )
    said = printed(code, SECATEUR_HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path))
    assert said.splitlines()[1:] == [""]
