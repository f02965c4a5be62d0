"""What site, user and preset say about Slurm, and what Slurm says of itself."""

from pathlib import Path

import pytest

from engine.cli.main import main
from engine.errors import UsageError
from engine.params.slurm import Slurm
from engine.presets import spec
from engine.runner import launch
from engine.runner.executors import choose, site

PRESET = "model: {name: resnet20}\ndata: {name: digits}\nsteps: [train]\n"
SEARCH = PRESET + "search: {smallest: size.packed, budget: {trials: 8}, over: auto}\n"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The site's file and the user's, which are not there yet; the cache is empty."""
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "etc"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    found = site.files()
    for file in found:
        file.parent.mkdir(parents=True)
    return found[0], found[1]


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **answers: str) -> None:
    """Slurm's programs, each with one answer."""
    folder.mkdir(exist_ok=True)
    for name, answer in answers.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_the_preset_comes_after_the_user_and_the_user_after_the_site(files: tuple[Path, Path]) -> None:
    of_site, of_user = files
    of_site.write_text("partition: cpu\naccount: shared\ntime: 60\n")
    of_user.write_text("account: mine\nsetup: [module load python]\n")
    found = site.resolve(Slurm(time="2:00:00"))
    assert found.model_dump(exclude_unset=True) == {
        "partition": "cpu",
        "account": "mine",
        "time": "2:00:00",
        "setup": ("module load python",),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("partition: [", "not YAML"),
        ("partitions: cpu", "partitions: is unknown"),
        ("- a", "options with their values"),
        ("default: 'no'", "write false"),
        ("cpus: 1_0", "a whole number"),
        (
            "time: 0",
            "line 1: time: given 0; allowed: minutes, hours:minutes:seconds or days-hours ≥ 1, or null",
        ),
        ("partition: a\npartition: b", "written twice"),
        ("extra: --mail-type=END,FAIL", 'write ["--mail-type=END,FAIL"]'),
        ("extra: ['--array=0-3']", "--array=0-3"),
        ("extra: [-J mine]", "-J mine"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(files: tuple[Path, Path], text: str, said: str) -> None:
    files[1].write_text(text)
    with pytest.raises(UsageError) as refused:
        site.resolve(Slurm())
    assert str(files[1]) in refused.value.title
    assert said in str(refused.value)
    assert "quotes" not in str(refused.value), "0 in quotes would ask for no limit at all"
    assert site.problems() == [refused.value.sentence]


def test_doctor_tells_what_the_files_say_and_counts_what_would_be_refused(
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    programs(tmp_path / "bin", monkeypatch, sinfo="cpu*|2-00:00:00|10|64|250000|(null)|zen4", scontrol="")
    command = ["doctor", "--workspace", str(tmp_path / "w")]
    files[0].write_text("time: 60\nsetup: [module load python]\n")
    files[1].write_text("time: 10\ndefault: true\n")
    main(command)
    said = capsys.readouterr().out
    assert f"{files[0]}, {files[1]} (time 10, setup [module load python], default true)" in said
    assert "slurm.yaml does not fit" not in said
    files[0].write_text("partitoin: test\n")
    files[1].write_text("partition: [\n")
    assert main(command) == 1
    said = capsys.readouterr().out
    assert f"PROBLEM: {files[0]} does not fit. line 1: partitoin: is unknown" in said
    assert f"PROBLEM: {files[1]} does not fit. line 2: not YAML" in said


def test_a_file_is_read_as_presets_are(files: tuple[Path, Path]) -> None:
    files[0].write_text("# the site's\n")
    files[1].write_text("time: 1:30:00\ncpus: 010\nqos: no\n")
    found = site.resolve(Slurm())
    assert (found.time, found.cpus, found.qos) == ("1:30:00", 10, "no")


def test_a_file_that_can_not_be_read_is_not_passed_over(files: tuple[Path, Path]) -> None:
    files[0].mkdir()
    with pytest.raises(UsageError, match="can't be read"):
        site.resolve(Slurm())


def test_a_site_can_settle_that_presets_run_by_slurm_which_say_nothing(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = spec.parse(PRESET, "p")
    programs(tmp_path / "bin", monkeypatch, sbatch="")
    assert launch.with_default_executor(quiet).settings.executor.slurm is None
    files[0].write_text("default: true\npartition: cpu\n")
    assert launch.with_default_executor(quiet).settings.executor.slurm == Slurm()
    search = spec.parse(SEARCH, "s")
    found = launch.with_default_executor(search)
    assert (found.settings.executor.slurm, found.space) == (Slurm(), search.space), "searches too"
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert launch.with_default_executor(quiet).settings.executor.slurm is None, (
        "within a job they run where they are"
    )
    monkeypatch.delenv("SLURM_JOB_ID")
    files[1].write_text("default: false\n")
    assert launch.with_default_executor(quiet).settings.executor.slurm is None, (
        "the user decides after the site"
    )


@pytest.mark.parametrize(
    ("more", "overrides"),
    [
        ("executor: local\n", ()),
        ("executor: {local: {parallel: 1}}\n", ()),
        ("executor: {slurm: null}\n", ()),
        ("", ("executor.slurm=null",)),
        ("", ("executor=local",)),
        ("executor: slurm\n", ("executor.slurm=null",)),
        ("quick: {executor: local}\n", ()),
    ],
)
def test_who_says_this_machine_gets_it_whatever_the_site_has_settled(
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: str,
    overrides: tuple[str, ...],
) -> None:
    programs(tmp_path / "bin", monkeypatch, sbatch="")
    files[0].write_text("default: true\n")
    read = spec.parse(PRESET + more, "p", overrides)
    found = launch.with_default_executor(read)
    assert found.settings.executor.slurm is (None if "quick" not in more else found.settings.executor.slurm)
    asked = found.quick or found
    assert asked.settings.executor.slurm is None
    again = spec.parse(spec.to_yaml(asked.document), "p")
    assert launch.with_default_executor(again).settings.executor.slurm is None, "its own preset says so too"
    assert f"by {files[0]} others run by Slurm" in choose.passed_over(again), "which is told"
    files[0].write_text("partition: cpu\n")
    assert not choose.passed_over(again)


def test_the_place_has_a_short_form(files: tuple[Path, Path]) -> None:
    assert spec.parse(PRESET + "executor: slurm\n", "p").settings.executor.slurm == Slurm()
    assert spec.parse(
        PRESET, "p", ("executor=slurm", "executor.slurm.cpus=2")
    ).settings.executor.slurm == Slurm(cpus=2)


def test_partitions_and_limits_are_slurms_own_and_asked_once_a_day(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(
        tmp_path / "bin",
        monkeypatch,
        sinfo="cpu*|2-00:00:00|10|64|250000|(null)|zen4\ncpu*|2-00:00:00|5|48|190000|(null)|skylake\n"
        "gpu|1-00:00:00|4|32|500000+|gpu:a100:4|zen3",
        scontrol="MaxArraySize            = 501",
    )
    assert [(one["name"], one["default"], one["nodes"]) for one in site.partitions()] == [
        ("cpu", "yes", "15"),
        ("gpu", "", "4"),
    ]
    assert site.largest_array() == 500
    programs(tmp_path / "bin", monkeypatch, sinfo="", scontrol="")
    assert site.largest_array() == 500


def test_without_slurm_there_is_nothing_to_offer(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert site.partitions() == []
    assert site.largest_array() == site.ARRAY - 1
