"""`mcp`: the same commands as tools for agents, over the Model Context Protocol (https://modelcontextprotocol.io).

The tools are made from the command line's declaration, and a call runs the command as anybody would, in a process of
its own with `--json`: an agent can do what a user can, and gets the same answers.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from engine import __version__
from engine.cli import declared
from engine.cli.common import tell
from engine.errors import SecateurError

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

JSON_TYPES = {"flag": "boolean", "string": "string", "integer": "integer", "number": "number"}
STDIN = "stdin"
"""The property whose text a command reads where one of its arguments is `-`."""
INSTRUCTIONS = """\
secateur finds out how far a vision network can be compressed before it breaks. Call `spec` first: it has every
parameter, measure and exit code. A preset (YAML) is run as a study: `run` with preset "-" and the YAML as `stdin`. Long
studies: `run` with detach, then `watch` or `show`. The answer's `pick` is the model to take."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "mcp",
        help="serve the commands to agents, over the Model Context Protocol",
        description="A server on standard input and output, for an agent's program to start; it needs the extra "
        "`secateur[mcp]`. Its tools are the commands that have --json, with the same arguments and answers.",
    )
    parser.set_defaults(run=_serve, commands=subparsers)


def _serve(args: argparse.Namespace) -> int:
    try:
        from mcp.server.stdio import stdio_server
    except ImportError as error:
        raise SecateurError(
            "The MCP server is not installed",
            f"It needs the package {error.name}.",
            "Install the extra: pip install 'secateur[mcp]'.",
        ) from error

    import asyncio

    async def serve() -> None:
        made = server(tools(declared.commands_of(args.commands)))
        async with stdio_server() as (read, write):
            await made.run(read, write, made.create_initialization_options())

    tell("secateur serves its commands on standard input and output; an agent's program talks to it there")
    asyncio.run(serve())
    return 0


def tools(commands: Iterable[declared.Command]) -> dict[str, declared.Command]:
    """Those commands that are tools, by the tool's name: `data check` is `data_check`."""
    return {command.name.replace(" ", "_"): command for command in commands if command.has_json}


def input_schema(command: declared.Command) -> dict[str, Any]:
    """The arguments of a command as a JSON Schema; `--json` is always given."""
    properties: dict[str, Any] = {}
    shown = [argument for argument in command.arguments if not argument.name.startswith("json")]
    for argument in shown:
        one: dict[str, Any] = {"type": JSON_TYPES[argument.type]}
        if argument.choices:
            one["enum"] = list(argument.choices)
        if argument.repeated:
            one = {"type": "array", "items": one}
        properties[argument.name] = one | {"description": argument.about}
    if any(argument.stdin for argument in shown):
        properties[STDIN] = {
            "type": "string",
            "description": "what an argument `-` reads, such as a preset in YAML",
        }
    required = [argument.name for argument in shown if argument.required and not argument.flag]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def server(known: dict[str, declared.Command]) -> "Server[Any]":
    """The server with its tools; needs the extra."""
    import mcp_types as types
    from mcp.server.lowlevel import Server

    async def on_list_tools(_: Any, __: Any) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=name,
                    description=f"{command.about}. {command.description}",
                    input_schema=input_schema(command),
                )
                for name, command in known.items()
            ]
        )

    async def on_call_tool(_: Any, asked: types.CallToolRequestParams) -> types.CallToolResult:
        command = known.get(asked.name)
        if command is None:
            answer, code = (
                {"error": {"title": f"There is no tool {asked.name}", "detail": ", ".join(known)}},
                2,
            )
        else:
            answer, code = await call(command, asked.arguments or {})
        text = json.dumps(answer, ensure_ascii=False)
        structured = answer if isinstance(answer, dict) else {"answer": answer}
        content = [types.TextContent(text=text)]
        return types.CallToolResult(content=content, structured_content=structured, is_error=code != 0)

    return Server(
        "secateur",
        version=__version__,
        instructions=INSTRUCTIONS,
        on_list_tools=on_list_tools,
        on_call_tool=on_call_tool,
    )


async def call(command: declared.Command, arguments: dict[str, Any]) -> tuple[Any, int]:
    """What the command prints with `--json`, and its exit code; it runs in a process of its own."""
    import asyncio

    from engine.machine.package import importable

    values = dict(arguments)
    text = values.pop(STDIN, "")
    try:
        words = declared.command_line(command, values | {"json": True})
    except ValueError as error:
        return {"error": {"title": str(error), "detail": "", "remedy": ""}, "exit_code": 2}, 2
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "engine.cli.main", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **importable()},
    )
    try:
        out, err = await process.communicate(str(text).encode())
    finally:
        if process.returncode is None:  # the agent does not want the answer any more
            process.terminate()
    code = process.returncode or 0
    try:
        return json.loads(out), code
    except ValueError:
        said = err.decode(errors="replace").strip()
        return {
            "error": {"title": f"{command.name} gave no answer", "detail": said},
            "exit_code": code,
        }, code or 1
