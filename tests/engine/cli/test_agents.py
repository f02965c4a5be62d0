"""What programs and agents rely on: one declaration of all commands, JSON from each, exit codes, the MCP server."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.cli import declared, mcp
from engine.cli.main import main, parser
from engine.errors import EXIT_CODES, EXIT_USAGE
from engine.params import STEPS
from engine.testing import folders


def every_command() -> list[declared.Command]:
    return list(declared.commands(parser()))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folders.Study(tmp_path / "w", "a", sparsities=(0.0, 0.5)).start().finish()
    monkeypatch.setenv("SECATEUR_HOME", str(tmp_path / "w"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "w"


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    assert main(list(words)) == code
    return json.loads(capsys.readouterr().out)


def test_every_command_answers_in_json_but_for_those_that_are_programs_of_their_own() -> None:
    assert [command.name for command in every_command() if not command.has_json] == ["lab", "mcp"]


def test_the_specification_says_what_the_program_takes(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "spec", "--json")
    commands = {command["name"]: command for command in found["commands"]}
    assert {"run", "show", "report", "data check"} < set(commands)
    options = {argument["name"]: argument for argument in commands["show"]["arguments"]}
    assert options["within"]["type"] == "number" and options["trial"]["type"] == "string"
    assert options["study"]["required"] and not options["study"]["flag"]
    assert {step["name"] for step in found["preset"]["steps"]} == set(STEPS)
    assert {event["event"] for event in found["events"]} > {"planned", "epoch-finished", "study-finished"}
    assert {code["code"] for code in found["exit_codes"]} == set(EXIT_CODES)
    assert any(measure["name"] == "effective_macs" for measure in found["measures"])


def test_what_the_usage_has_in_brackets_may_be_left_out() -> None:
    for command in every_command():
        for place in (argument for argument in command.arguments if not argument.flag):
            name = place.metavar or place.name
            in_brackets = f"[{name}" in command.usage and f" {name} [{name}" not in command.usage
            assert place.required != in_brackets, f"{command.name} {place.name}"
    listing = next(command for command in every_command() if command.name == "list")
    assert declared.command_line(listing, {}) == ["list"]


def test_a_trial_is_named_behind_its_study_or_by_its_number(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(capsys, "show", "a-1:1", "--json") == answer(
        capsys, "show", "a-1", "--trial", "1", "--json"
    )
    assert answer(capsys, "show", "latest:pick", "--json")["index"] == 3
    for words in (["show", "a-1:0", "--trial", "1"], ["show", "a-1:7"], ["report", "a-1:0", "r.html"]):
        answer(capsys, *words, "--json", code=EXIT_USAGE)


def test_errors_are_json_too(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["show", "b-1"], ["show"], ["nonsense"], ["show", "a-1", "--trial", "x"]):
        found = answer(capsys, *words, "--json", code=EXIT_USAGE)
        assert found["exit_code"] == EXIT_USAGE and found["error"]["title"]
    assert main(["show", "b-1"]) == EXIT_USAGE
    assert capsys.readouterr().out == ""


def test_words_are_made_of_values_as_they_are_declared() -> None:
    commands = {command.name: command for command in every_command()}
    line = declared.command_line(
        commands["plot"], {"study": ["a", "b"], "by": ["x"], "log": True, "csv": "f"}
    )
    assert line == ["plot", "--by=x", "--log", "--csv=f", "--", "a", "b"]
    for values in (
        {"study": "a", "trial": True},
        {"study": "a", "strange": 1},
        {},
        {"study": "a", "json": "yes"},
    ):
        with pytest.raises(ValueError, match=r"show|trial|json"):
            declared.command_line(commands["show"], values)


def test_a_curve_is_numbers(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "plot", "a-1", "--x", "size.packed", "--json")
    assert (found["x"], found["y"]) == ("size.packed", "accuracy")
    assert {trial for line in found["lines"] for point in line["points"] for trial in point["trials"]} == {
        0,
        1,
        2,
        3,
    }


async def test_tools_run_the_commands(workspace: Path) -> None:
    tools = mcp.tools(every_command())
    schema = mcp.input_schema(tools["show"])
    assert schema["required"] == ["study"] and schema["properties"]["within"]["type"] == "number"
    assert "stdin" in mcp.input_schema(tools["run"])["properties"]
    found, code = await mcp.call(tools["show"], {"study": "a-1"})
    assert code == 0 and len(found["trials"]) == 4
    found, code = await mcp.call(tools["show"], {"study": "--help"})
    assert code == EXIT_USAGE and "No study --help" in found["error"]["title"]


def test_an_agent_talks_to_the_server(workspace: Path) -> None:
    client = pytest.importorskip("mcp.client", reason="the extra secateur[mcp] is not installed")
    from mcp.client.stdio import StdioServerParameters, stdio_client

    async def talk() -> tuple[list[str], Any, bool]:
        words = ["-m", "engine.cli.main", "mcp"]
        environment = {"PYTHONPATH": ":".join(sys.path), "SECATEUR_HOME": str(workspace)}
        transport = stdio_client(StdioServerParameters(command=sys.executable, args=words, env=environment))
        async with client.Client(transport) as agent:
            listed = await agent.list_tools()
            found = await agent.call_tool("list", {"word": ["done"]})
            wrong = await agent.call_tool("show", {"study": "b"})
            return [tool.name for tool in listed.tools], found.structured_content, wrong.is_error

    names, found, wrong = asyncio.run(asyncio.wait_for(talk(), 60))
    assert {"run", "show", "data_check", "spec"} < set(names) and wrong
    assert found["answer"][0]["study"] == "a-1"
