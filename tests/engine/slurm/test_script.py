"""Batch scripts say what was asked for, and nothing else."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.params.slurm import Slurm
from engine.slurm import UNBEGUN, script

STAGE = script.Stage("s-1", Path("/w/studies/s-1"), "trials1", 7, exclusive=False)
OURS = {"job-name", "comment", "array", "output", "open-mode"}


def flags(**asked: object) -> list[str]:
    return script.flags(Slurm.model_validate(asked), STAGE)


def test_without_a_request_only_the_mechanism_is_in_the_script() -> None:
    assert {re.match(r"--([a-z-]+)", flag)[1] for flag in flags()} == OURS  # type: ignore[index]


def test_every_option_becomes_its_flag_and_what_is_extra_comes_last() -> None:
    found = flags(
        partition="debug",
        account="a",
        qos="q",
        time="1:00:00",
        nodes=1,
        cpus=4,
        memory="8G",
        gpus="a100:1",
        constraint="ib&zen",
        exclude="n1",
        reservation="r",
        parallel=3,
        requeue=False,
        signal_before=60,
        extra=("--mail-type=END",),
    )
    for flag in (
        "--partition=debug",
        "--account=a",
        "--qos=q",
        "--time=1:00:00",
        "--nodes=1",
        "--cpus-per-task=4",
        "--mem=8G",
        "--gres=gpu:a100:1",
        '--constraint="ib&zen"',
        "--exclude=n1",
        "--reservation=r",
        "--array=0-6%3",
        "--no-requeue",
        "--signal=B:USR1@60",
    ):
        assert flag in found
    assert found[-1] == "--mail-type=END"


def test_whole_nodes_are_asked_for_where_latency_is_measured() -> None:
    asked = Slurm(latency_exclusive=True)
    measuring = script.Stage("s-1", Path("/w/s-1"), "times2", 1, exclusive=True)
    assert "--exclusive" in script.flags(asked, measuring)
    assert "--exclusive" not in script.flags(asked, STAGE)


def test_failed_nodes_are_left_out_beside_those_that_the_preset_leaves_out() -> None:
    assert "--exclude=n1,n2" in script.flags(Slurm(exclude="n1"), STAGE, ["n2"])
    assert "--exclude=n2" in script.flags(Slurm(), STAGE, ["n2"])


def test_the_script_sets_up_exports_and_becomes_the_task_itself() -> None:
    asked = Slurm(setup=("module load python",), container="/images/s.sif")
    lines = script.text(asked, STAGE, ["python3", "-c", "a b"], {"X": "1 2"}).splitlines()
    assert lines[0] == "#!/bin/bash"
    assert lines.index("module load python") < lines.index("trap - ERR") < lines.index("export X='1 2'")
    # exec: the batch shell would keep signals that are meant for the task
    assert lines[-1].startswith("exec apptainer exec /images/s.sif python3 -c 'a b' ")


@pytest.mark.parametrize(
    ("setup", "code"),
    [
        (["module load nope"], 7),
        (["true", "exit 3"], 3),
        (["nosuchprogram --x"], 127),
        (["source harmless.sh"], 0),
        (["module load python", "module load nope || true"], 0),
        (["[ -d /nope ] && module load nope", "if false; then", "module load nope", "fi"], 0),
    ],
)
def test_a_line_of_setup_that_fails_ends_the_task_with_its_words_and_what_fails_within_it_does_not(
    tmp_path: Path, setup: list[str], code: int
) -> None:
    (tmp_path / "harmless.sh").write_text("false\ntrue\n")
    module = 'module() { grep -q nothing /dev/null; [ "$2" = python ] || return 7; }'
    asked = Slurm(setup=(module, *setup))
    file = tmp_path / "s.sh"
    stage = script.Stage("s-1", tmp_path, "trials1", 1, exclusive=False)
    file.write_text(script.text(asked, stage, ["echo", "it", "began"], {}))
    (tmp_path / UNBEGUN).mkdir(parents=True)
    done = subprocess.run(["bash", file], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "it began" in done.stdout) == (code, code == 0)
    if code and setup[-1] != "exit 3":
        assert f"executor.slurm.setup ended with {code} at: {setup[-1]} (" in done.stderr


def test_any_folder_and_value_is_one_word_of_its_line() -> None:
    """sbatch reads quotes and backslashes on its lines as a shell does, and ends a line at `#`."""
    folder = Path('/w/a b/50%/"x" \\y#z')
    stage = script.Stage("s-1", folder, "trials1", 7, exclusive=False)
    found = script.flags(Slurm.model_validate({"constraint": 'zen" --wrap=x "'}), stage)
    words = [shlex.split(flag, comments=True) for flag in found]
    assert [len(one) for one in words] == [1] * len(words)
    assert [f"--comment={folder}"] in words
    assert ['--constraint=zen" --wrap=x "'] in words
    assert [f"--output={str(folder).replace('%', '%%')}/slurm/{script.OUTPUT}"] in words
    with pytest.raises(UsageError, match="line break"):
        script.flags(Slurm(), script.Stage("s-1", Path("/w/a\nb"), "t", 1, exclusive=False))


@pytest.mark.parametrize("name", ["partition", "constraint", "exclude", "container", "extra", "setup"])
def test_no_value_begins_a_line_of_the_script(name: str) -> None:
    value = "a\nrm -rf x"
    with pytest.raises(ValueError, match=name):
        Slurm.model_validate({name: [value] if name in ("extra", "setup") else value})
