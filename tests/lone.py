"""Programs in processes that have torch and nothing else: no part of this project, none of its other packages.

Each is forked from one Python that has imported torch, which takes seconds, and is what `python -P FILE` would be, or
`python FILE`, which finds modules beside that file.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SERVE = """
import json, os, runpy, sys, traceback
import torch

for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if not child:
        code = 70
        try:
            for number, name in enumerate(("/dev/null", *job["said"])):
                os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
            os.chdir(job["folder"])
            sys.argv = job["argv"]
            if job["beside"]:
                sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
            runpy.run_path(sys.argv[0], run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def run(
    file: Path | str, *arguments: str, folder: Path, beside: bool = False
) -> "subprocess.CompletedProcess[str]":
    """The Python program `file`, run in `folder`, and what it says; `beside`: it imports from its own folder."""
    with tempfile.TemporaryDirectory(prefix=f"secateur-test-{os.getpid()}-lone-") as place:
        said = [Path(place) / name for name in ("out", "err")]
        job = {
            "argv": [str(file), *arguments],
            "folder": str(folder),
            "said": [*map(str, said)],
            "beside": beside,
        }
        server = _server()
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(json.dumps(job) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        out, err = (name.read_text() for name in said)
    return subprocess.CompletedProcess(job["argv"], code, out, err)


@cache
def _server() -> "subprocess.Popen[str]":
    """Started when first asked for; ends with the process that asks."""
    command = [sys.executable, "-P", "-c", SERVE]
    # In a folder without this project, which no variable names to it either.
    server = subprocess.Popen(
        command,
        cwd=tempfile.gettempdir(),
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    atexit.register(server.kill)
    return server
