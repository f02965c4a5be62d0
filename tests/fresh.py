"""Python in a process of its own, which has imported nothing yet."""

import os
import subprocess
import sys

from tests import HOME


def printed(code: str, **environment: str) -> str:
    """What the code prints on standard output; `environment` is set beside what this process has."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=HOME,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
