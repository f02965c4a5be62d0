"""Limits of memory, processors and processes, read from files that describe other machines."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from engine.machine import environment, limits

GB = 10**9
MOUNTED_2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
MOUNTED_1 = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "37 31 0:34 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
)


@pytest.fixture(autouse=True)
def _no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)


def machine(root: Path, mounted: str, groups: str, files: dict[str, object]) -> Path:
    """A folder that stands for `/` of a machine with 8 GB to spare."""
    files |= {"proc/self/mountinfo": mounted, "proc/self/cgroup": groups}
    files["proc/meminfo"] = "MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\n"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def version_2(root: Path) -> Path:
    """A Slurm job below a user's slice, which has the stricter limit of memory; the step's own group has none."""
    job = "sys/fs/cgroup/user/job_7"
    return machine(
        root,
        MOUNTED_2,
        "0::/user/job_7/step_0\n",
        {
            f"{job}/step_0/cgroup.procs": "1",
            f"{job}/step_0/memory.events": "low 0\noom 3\noom_kill 2",
            f"{job}/memory.max": 4 * GB,
            f"{job}/memory.current": 3 * GB,
            f"{job}/memory.stat": f"anon 1000\ninactive_file {2 * GB}\nactive_file 5",
            f"{job}/memory.events": "oom_kill 9",
            f"{job}/cpu.max": "150000 100000",
            f"{job}/pids.max": 100,
            f"{job}/pids.current": 12,
            "sys/fs/cgroup/user/memory.max": 2 * GB,
            "sys/fs/cgroup/user/memory.current": GB,
            "sys/fs/cgroup/user/memory.stat": "inactive_file 0",
            "sys/fs/cgroup/user/cpu.max": "max 100000",
        },
    )


def version_1(root: Path) -> Path:
    memory, unlimited = "sys/fs/cgroup/memory", 9223372036854771712
    return machine(
        root,
        MOUNTED_1,
        "9:name=systemd:/\n4:memory:/slurm/job_7\n3:cpu,cpuacct:/slurm\n2:pids:/\n0::/\n",
        {
            f"{memory}/memory.limit_in_bytes": unlimited,
            f"{memory}/slurm/memory.limit_in_bytes": GB,
            f"{memory}/slurm/memory.usage_in_bytes": GB,
            f"{memory}/slurm/memory.stat": f"inactive_file 5\ntotal_inactive_file {900 * 10**6}",
            f"{memory}/slurm/job_7/memory.limit_in_bytes": unlimited,
            f"{memory}/slurm/job_7/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4",
            "sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_quota_us": 100_000,
            "sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_period_us": 50_000,
            "sys/fs/cgroup/pids/pids.max": "max",
        },
    )


def test_the_strictest_group_above_counts_and_says_who_it_is(tmp_path: Path) -> None:
    found = limits.memory(version_2(tmp_path))
    assert {(one.value, one.source) for one in found} == {
        (4 * GB, "control group /user/job_7"),
        (2 * GB, "control group /user"),
    }
    assert limits.sentence("memory", root=tmp_path) == (
        "Limits here: memory 2.00 GB (control group /user; 1.00 GB used)."
    )


def test_files_that_the_kernel_would_give_up_count_as_free(tmp_path: Path) -> None:
    both = version_2(tmp_path / "two"), version_1(tmp_path / "one")
    assert [limits.free_memory(root) for root in both] == [GB, 900 * 10**6]


def test_version_1_is_read_like_version_2(tmp_path: Path) -> None:
    root = version_1(tmp_path)
    (found,) = limits.memory(root)
    assert (found.value, found.used, found.source) == (GB, 100 * 10**6, "control group /slurm")
    assert [one.value for one in limits.processors(root, {})] == [2]
    assert limits.oom_kills(root) == 4


def test_kills_are_counted_of_the_group_that_the_process_is_in(tmp_path: Path) -> None:
    assert limits.oom_kills(version_2(tmp_path)) == 2


def test_processors_and_processes_are_limited_by_groups(tmp_path: Path) -> None:
    root = version_2(tmp_path)
    assert limits.usable_processors(root, {}) == 1
    assert "processes 100 (control group /user/job_7; 12 used)" in limits.sentence("processes", root=root)


def test_a_container_sees_the_group_that_is_mounted_for_it(tmp_path: Path) -> None:
    mounted = "30 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
    files: dict[str, object] = {"sys/fs/cgroup/memory.max": GB, "sys/fs/cgroup/memory.current": 0}
    for number, path in enumerate(("/docker/abc", "/../../elsewhere", "/")):
        root = machine(tmp_path / str(number), mounted, f"0::{path}\n", dict(files))
        assert [one.value for one in limits.memory(root)] == [GB]


@pytest.mark.parametrize("lacking", ["proc/self/mountinfo", "proc/self/cgroup", "proc/meminfo"])
def test_a_machine_that_hides_files_has_no_limits_from_them(tmp_path: Path, lacking: str) -> None:
    root = version_2(tmp_path)
    (root / lacking).unlink()
    assert limits.free_memory(root) > 0


def test_slurm_gives_processors_and_memory() -> None:
    given = {"SLURM_CPUS_PER_TASK": "1", "SLURM_MEM_PER_NODE": "2048"}
    assert limits.usable_processors(variables=given) == 1
    assert [one.value for one in limits.slurm_memory(given)] == [2 << 30]
    assert limits.slurm_memory({"SLURM_MEM_PER_NODE": "0"}) == []


def test_threads_follow_slurm_and_openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "available_cpus", lambda: 16)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [environment.resolve_threads("auto", parallel) for parallel in (1, 4, 8, 32)] == [3, 3, 2, 1]
    assert environment.resolve_threads(12, 1) == 12


def test_ulimits_are_seen_with_what_is_used() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (5 * 10**9,) * 2)\n"
        "resource.setrlimit(resource.RLIMIT_NPROC, (40, 40))\n"
        "from engine.machine import limits; print(limits.sentence()); print(limits.free_memory() < 5 * 10**9)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "address space 5.00 GB (ulimit -v;" in done.stdout and "processes 40 (ulimit -u)" in done.stdout
    assert "True" in done.stdout
    assert resource.getrlimit(resource.RLIMIT_AS)[0] != 5 * 10**9
