"""What can never start is refused before anything is written or sent, as far as Slurm tells its limits."""

from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.presets import spec
from engine.runner import launch
from engine.runner.executors import request

PRESET = "model: {name: resnet20}\ndata: {name: digits}\nsteps: [train]\n"
SINFO = "cpu*|30:00|2|2|4000|(null)|(null)\ncpu*|30:00|1|8|16000|(null)|(null)\nlong|infinite|1|2|4000|(null)|(null)"
REFUSES = "echo 'allocation failure: Requested node configuration is not available' >&2; exit 1"
NO_DATABASE = "AccountingStorageType   = accounting_storage/none"


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slurm's programs: partitions, no database, and an sbatch that finds no node. What they are asked is noted."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    for name, text in {
        "sinfo": f"cat <<'END'\n{SINFO}\nEND",
        "scontrol": f"echo '{NO_DATABASE}'",
        "sbatch": REFUSES,
    }.items():
        program(folder, name, text)
    return folder


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {folder}/calls\n{text}\n')
    (folder / name).chmod(0o755)


def refusal(*overrides: str, workspace: Path) -> str:
    """Why a study with these is not created; empty where it is."""
    read = spec.parse(PRESET, "p", ("executor.slurm={}", *overrides))
    try:
        launch.create(read, workspace)
    except UsageError as error:
        assert not (workspace / "studies").exists(), "nothing is written"
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("cpus=64", "nodes of partition cpu have at most 8 processors"),
        ("nodes=4", "executor.slurm.nodes is 4, and partition cpu has 3"),
        ("memory=17G", "at most 16000M"),
        ("time=31", "executor.slurm.time is 31, and partition cpu ends jobs after 30:00"),
        ("time=1:00:00", "ends jobs after 30:00"),
    ],
)
def test_what_no_node_has_is_refused_with_what_there_is(tmp_path: Path, asked: str, said: str) -> None:
    assert said in refusal(f"executor.slurm.{asked}", workspace=tmp_path / "w")


@pytest.mark.parametrize(
    "overrides",
    [
        ("cpus=8", "nodes=3", "memory=16000", "time=30"),
        ("time=2-0", "partition=long"),
        ("time=2-0", "partition='cpu,long'"),
        ("cpus=64", "partition=hidden"),
        ("cpus=64", "extra=[--partition=other]"),
        ("time=60", "reservation=mine"),
    ],
)
def test_what_fits_somewhere_or_can_not_be_known_is_sent(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    assert refusal(*(f"executor.slurm.{one}" for one in overrides), workspace=tmp_path / "w") == ""


def test_slurm_has_the_last_word_on_nodes_that_it_does_not_show(tmp_path: Path, programs: Path) -> None:
    program(programs, "sbatch", "exit 0")
    assert refusal("executor.slurm.cpus=64", workspace=tmp_path / "w") == ""
    assert "sbatch --test-only --wrap=true --cpus-per-task=64" in (programs / "calls").read_text()


def test_where_a_quality_of_service_may_lift_the_limit_it_is_only_said(
    tmp_path: Path, programs: Path
) -> None:
    program(programs, "scontrol", "echo 'AccountingStorageType = accounting_storage/slurmdbd'")
    program(programs, "sacctmgr", "echo 'normal|'; echo 'long|PartitionTimeLimit'")
    assert refusal("executor.slurm.time=60", workspace=tmp_path / "w") == ""
    asked = spec.parse(PRESET, "p", ("executor.slurm.time=60",)).settings.executor.slurm
    assert asked is not None
    [note] = request.notes(asked)
    assert "ends jobs after 30:00. It waits for ever unless" in note


def test_a_limit_that_was_raised_today_holds(tmp_path: Path, programs: Path) -> None:
    assert refusal("executor.slurm.time=60", workspace=tmp_path / "w")
    program(programs, "sinfo", f"cat <<'END'\n{SINFO.replace('30:00', '2:00:00')}\nEND")
    assert refusal("executor.slurm.time=60", workspace=tmp_path / "w") == ""


def test_threads_are_no_more_than_processors_there_or_here(tmp_path: Path) -> None:
    assert "executor.slurm.cpus: 1" in refusal("threads=4", "executor.slurm.cpus=1", workspace=tmp_path / "w")
    here = refusal("threads=512", "executor.slurm=null", workspace=tmp_path / "w")
    assert here.startswith("threads: 512 is more than the processors here")


def test_a_training_does_not_span_nodes_from_within_a_container(tmp_path: Path) -> None:
    over_nodes = ("executor.slurm.container=/i.sif", "executor.slurm.nodes=2", "distributed.processes=2")
    assert "within a container" in refusal(*over_nodes, workspace=tmp_path / "w")
    assert refusal(*over_nodes[:2], workspace=tmp_path / "w") == "", "one process is where its task is"
