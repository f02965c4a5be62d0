"""The benchmark of what people bring comes to its end and finds nothing wrong."""

import subprocess
import sys

from benchmarks import bring
from tests import HOME


def test_the_quick_version_finds_nothing_wrong() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bring", "--quick"],
        check=False,
        cwd=HOME,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(bring.QUICK)} cases, 0 wrong" in done.stdout
