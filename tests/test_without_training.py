"""Benchmarks of accuracy and size come to their end in their quick versions, and their claims hold on digits."""

import subprocess
import sys

import pytest

from tests import HOME


@pytest.mark.parametrize(
    ("benchmark", "claim"), [("without_training", "every claim holds"), ("deep_compression", ": met")]
)
def test_the_quick_version_finds_every_claim_to_hold(benchmark: str, claim: str, tmp_path) -> None:
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", "--quick", "--folder", str(tmp_path)]
    done = subprocess.run(command, check=False, cwd=HOME, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert claim in done.stdout
