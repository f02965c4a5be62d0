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
from multiprocessing import connection, util
from pathlib import Path

from tests import HOME

SERVE = """
import json, os, runpy, sys, traceback
from multiprocessing.connection import Listener, wait
import torch

listener = Listener(sys.argv[1], "AF_UNIX")
print(flush=True)
while sys.stdin not in wait([listener._listener._socket, sys.stdin]):
    asked = listener.accept()
    job = json.loads(asked.recv_bytes())
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
    asked.send_bytes(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
    asked.close()
"""


def run(
    file: Path | str, *arguments: str, folder: Path, beside: bool = False
) -> "subprocess.CompletedProcess[str]":
    """The Python program `file`, run in `folder`, and what it says; `beside`: it imports from its own folder."""
    with tempfile.TemporaryDirectory(prefix=f"secateur-test-{os.getpid()}-lone-") as place:
        said = [Path(place) / name for name in ("out", "err")]
        argv = [str(file), *arguments]
        job = {
            "argv": argv,
            "folder": str(folder),
            "said": [*map(str, said)],
            "beside": beside,
        }
        with connection.Client(address(), "AF_UNIX") as server:
            server.send_bytes(json.dumps(job).encode())
            code = int(server.recv_bytes())
        out, err = (name.read_text() for name in said)
    return subprocess.CompletedProcess(argv, code, out, err)


def ours(code: str, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The same of code that imports this project, as a program in `folder`."""
    program = folder / "program.py"
    program.write_text(f"import sys\nsys.path.insert(0, {str(HOME)!r})\n{code}")
    return run(program, *arguments, folder=folder)


@cache
def address() -> str:
    """Where the Python that has torch listens: that of the test process which started this one, or one of its own.

    Its own is started when first asked for, and ends with it.
    """
    if named := os.environ.get("SECATEUR_TESTS_LONE"):
        return named
    place = tempfile.mkdtemp(dir=util.get_temp_dir())  # which goes when this process ends
    # In a folder without this project, which no variable names to it either.
    server = subprocess.Popen(
        [sys.executable, "-P", "-c", SERVE, f"{place}/lone"],
        cwd=tempfile.gettempdir(),
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    atexit.register(server.kill)
    assert server.stdout is not None
    server.stdout.readline()  # once it listens
    return f"{place}/lone"
