"""The same bits in every process: how processes are made, what keys hash, and what the check that users run tells.

The check itself runs in the lab's own `test_bits`, from the key that asks for it to what it found.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import SecateurError
from engine.machine import environment
from engine.runner import bits, launch
from engine.runner.bits import Bits
from tests import HOME, lone
from tests.study_lab import warm_variables

MODE = """
import ctypes, os, sys
from pathlib import Path
import torch
os.environ.pop("MKL_CBWR", None)
os.environ.update({variables})
sys.path.insert(0, {home!r})
{first}
torch.rand(8, 8) @ torch.rand(8, 8)
library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
print(library.mkl_serv_cbwr_get(1) if torch.backends.mkl.is_available() else "no MKL")
"""
OFF, AUTO, COMPATIBLE = 1, 2, 3
"""mkl_types.h: MKL_CBWR_BRANCH_OFF, MKL_CBWR_AUTO, MKL_CBWR_COMPATIBLE."""


def mode(first: str, folder: Path, **variables: str) -> int:
    """The mode that MKL says it computes in, in a process with torch that runs `first` before it computes."""
    program = folder / "mode.py"
    program.write_text(MODE.format(first=first, variables=variables, home=str(HOME)))
    done = lone.run(program, folder=folder)
    assert not done.returncode, done.stderr
    if done.stdout.startswith("no"):
        pytest.skip("torch computes without MKL here")
    return int(done.stdout)


def test_mkl_is_reproducible_in_every_process_that_computes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whether it was made by us or imports our package by itself, after torch even."""
    monkeypatch.delenv("MKL_CBWR", raising=False)
    assert mode("", tmp_path) == OFF, "as torch comes"
    assert mode("import engine.compute", tmp_path, MKL_CBWR="") == AUTO, "an empty variable is none"
    assert launch.process_environment()["MKL_CBWR"] == "AUTO"


def test_sets_of_strings_have_one_order_in_every_process() -> None:
    command = [sys.executable, "-c", "print({str(number) for number in range(99)})"]
    told = {subprocess.check_output(command, env=launch.process_environment()) for _ in range(2)}
    assert len(told) == 1


def test_what_a_user_sets_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")  # the others MKL takes on Intel's processors alone
    assert launch.process_environment()["MKL_CBWR"] == "COMPATIBLE"
    assert mode("import engine.compute", tmp_path, MKL_CBWR="COMPATIBLE") == COMPATIBLE


@pytest.mark.parametrize("name", environment.SELECTORS)
def test_keys_hash_what_selects_instructions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name, raising=False)
    before = environment.numerics("cpu", 1)
    monkeypatch.setenv(name, "COMPATIBLE")
    assert environment.numerics("cpu", 1) != before
    assert environment.describe()["variables"][name] == "COMPATIBLE", "a replay can name it"


def test_keys_are_the_same_in_a_process_that_only_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lab looks for results that workers stored."""
    monkeypatch.delenv("MKL_CBWR", raising=False)
    planned = environment.numerics("cpu", 1)
    environment.settle()
    assert environment.numerics("cpu", 1) == planned


DIFFERENT = ({"what": "loaded at 16 addresses", "network": "resnet20", "different": ["output of 1"]},)


@pytest.mark.parametrize(
    "found, remedy",
    [
        (Bits(2, DIFFERENT, mended={"MKL_CBWR": "COMPATIBLE"}), "`export MKL_CBWR=COMPATIBLE`"),
        (Bits(2, DIFFERENT, mended_by_one_thread=True), "write `threads: 1`"),
        (Bits(2, DIFFERENT), "please report"),
    ],
)
def test_a_difference_is_told_with_what_it_means_and_what_to_do(found: Bits, remedy: str) -> None:
    assert not found.equal
    assert "resnet20 loaded at 16 addresses differs in output of 1" in found.text
    assert "does not load back equal" in found.text
    assert remedy in found.text


def test_a_check_that_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in warm_variables().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SecateurError, match="did not come to its end"):
        bits.check(-1)
