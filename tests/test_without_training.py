"""The benchmark of compression without training comes to its end, and its claims hold on digits."""

import subprocess
import sys

from tests import HOME


def test_the_quick_version_finds_every_claim_to_hold(tmp_path) -> None:
    command = [sys.executable, "-m", "benchmarks.without_training", "--quick", "--folder", str(tmp_path)]
    done = subprocess.run(command, check=False, cwd=HOME, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every claim holds" in done.stdout
