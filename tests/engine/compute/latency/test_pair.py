"""Latency: rows that mean what they say, one side awake at a time, and nobody left behind."""

import itertools
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.compute.latency import forks, pair
from engine.compute.latency import side as latency_process
from engine.compute.latency.calls import Block, timed
from engine.compute.latency.pair import Side, measure_pair
from engine.compute.latency.worker import Measurement
from engine.compute.models import checkpoint
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.runtimes.base import artefact
from engine.errors import SecateurError
from engine.machine import procfs
from engine.params.preset import Latency
from tests.engine.compute.compute_help import TEMPLATES

pytestmark = pytest.mark.usefixtures("warm_server")

SHAPE = (3, 32, 32)
RUNTIMES = ("torch", "onnxruntime", "openvino")
"""Those that open a network at once; the compiled one is in `test_compiled.py`."""
QUICK = Latency(runtimes=RUNTIMES, batch=(1, 4), blocks=3, block_ms=10, warmup_ms=10)

QUICK_TORCH = QUICK.model_copy(update={"runtimes": ("torch",), "batch": (1,)})


def side(folder: Path, width: int) -> Side:
    model = build(Architecture("resnet8", 3, 10, SHAPE[1:], {"width": width})).eval()
    folder.mkdir()
    checkpoint.save(model, folder)
    return Side(
        {runtime: artefact(runtime, model, SHAPE, folder, templates=TEMPLATES) for runtime in RUNTIMES}
    )


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> Side:
    return side(tmp_path_factory.mktemp("latency") / "wide", 32)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory) -> Side:
    return side(tmp_path_factory.mktemp("latency") / "narrow", 4)


class Recorder:
    """Starts processes as `warmfork.start` does and remembers them."""

    def __init__(self) -> None:
        self.processes: list[Any] = []

    def __call__(self, target: Callable[..., None], args: tuple[Any, ...]) -> Any:
        self.processes.append(forks.start(target, args))
        return self.processes[-1]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_gone(pids: list[int], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not all(gone(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_rows_for_every_runtime_and_batch_and_a_smaller_model_is_faster(wide, narrow):
    start = Recorder()
    rows = measure_pair(wide, narrow, params=QUICK, shape=SHAPE, threads=1, start=start)
    places = [(row["runtime"], row["batch"]) for row in rows]
    assert places == [(runtime, batch) for runtime in RUNTIMES for batch in (1, 4)]
    assert len(start.processes) == 12, "a fresh process for each model, runtime and batch"
    assert wait_gone([process.pid for process in start.processes], 1)
    for row in rows:
        assert row["threads"] == 1 and row["cpu"] and row["device"] == "cpu"
        assert 0 < row["median_ms"] <= row["p90_ms"]
        assert 0 < row["baseline_median_ms"] <= row["baseline_p90_ms"]
        assert row["speedup_low"] <= row["speedup"] <= row["speedup_high"]
        assert row["calls"] >= QUICK.blocks and row["peak_memory"] > 0
        assert 0 <= row["foreign_load"] <= 1
    assert rows[-1]["speedup"] > 2, "64 times fewer MACs, batch 4"


def test_a_trial_that_is_the_baseline_measures_itself_once(wide):
    start = Recorder()
    again = Side(dict(wide.artefacts))
    (row,) = measure_pair(
        wide,
        again,
        params=QUICK.model_copy(update={"runtimes": ("torch",), "batch": (1,)}),
        shape=SHAPE,
        threads=1,
        start=start,
    )
    assert len(start.processes) == 1
    assert row["speedup"] == row["speedup_low"] == row["speedup_high"] == 1.0
    assert row["median_ms"] == row["baseline_median_ms"] and row["p90_ms"] == row["baseline_p90_ms"]


def test_a_row_tells_its_warm_up_and_counts_none_of_it(wide, narrow):
    (row,) = measure_pair(wide, narrow, params=QUICK_TORCH, shape=SHAPE, threads=1)
    assert row["precision"] == row["baseline_precision"] == "fp32"
    assert 0 < row["median_ms"] < row["first_ms"] <= row["warmup_ms"] and row["warmup_calls"] >= 1
    assert row["throughput"] == pytest.approx(1000 / row["median_ms"])


def test_every_number_of_threads_and_precision_has_a_row_and_what_cannot_be_done_says_why(wide, narrow):
    many = len(os.sched_getaffinity(0)) + 1000
    params = QUICK_TORCH.model_copy(
        update={"runtimes": ("torch", "onnxruntime"), "precision": ("fp32", "bf16"), "threads": (1, many)}
    )
    start = Recorder()
    rows = measure_pair(wide, narrow, params=params, shape=SHAPE, threads=1, start=start)
    assert [(r["runtime"], r["precision"], r["threads"]) for r in rows] == [
        (runtime, precision, threads)
        for runtime in ("torch", "onnxruntime")
        for precision in ("fp32", "bf16")
        for threads in (1, many)
    ]
    told = {(r["runtime"], r["precision"], r["threads"]): r.get("unavailable", "") for r in rows}
    assert "are usable" in told["torch", "fp32", many] and not told["onnxruntime", "fp32", 1]
    assert "no networks in bf16" in told["onnxruntime", "bf16", 1]
    assert not any("median_ms" in row for row in rows if "unavailable" in row)


def test_the_baseline_may_run_in_another_runtime(wide, narrow):
    params = QUICK_TORCH.model_copy(update={"runtimes": ("onnxruntime",)})
    start = Recorder()
    (row,) = measure_pair(wide, wide, params=params, shape=SHAPE, threads=1, against="torch", start=start)
    assert (row["runtime"], row["baseline_runtime"]) == ("onnxruntime", "torch")
    assert len(start.processes) == 2, "one model, and yet two things to measure"


def test_an_int8_file_is_labelled_so_runs_where_it_can_and_names_what_stays_in_float(wide):
    quantized = Side(wide.artefacts, {"openvino": "it was refused"}, quantized=True)
    params = QUICK_TORCH.model_copy(update={"runtimes": RUNTIMES, "precision": ("bf16", "fp32")})
    in_torch, in_onnx, in_openvino = measure_pair(wide, quantized, params=params, shape=SHAPE, threads=1)
    assert {row["precision"] for row in (in_torch, in_onnx, in_openvino)} == {"int8"}
    assert "ONNX Runtime and OpenVINO only" in in_torch["unavailable"]
    assert in_openvino["unavailable"] == "it was refused"
    assert in_onnx["baseline_precision"] == "fp32" and in_onnx["float_operators"]["Conv"] > 5


def test_the_speedup_is_the_median_of_neighbouring_blocks_so_that_drift_cancels():
    slower_machine = [1, 1, 2, 2, 4]
    baseline = [[10 * drift, 12 * drift, 11 * drift] for drift in slower_machine]
    compressed = [[5 * drift, 6 * drift, 5.5 * drift] for drift in slower_machine]
    row = pair._statistics(baseline, compressed)  # type: ignore[arg-type]
    assert row["speedup"] == row["speedup_low"] == row["speedup_high"] == 2.0
    assert row["calls"] == 15
    assert row["median_ms"] == statistics.median(itertools.chain(*compressed)) / 1e6


def test_turns_alternate_and_a_linear_drift_cancels():
    turns = pair._turns(2, 6)
    assert turns == [0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0]
    places = [[i for i, turn in enumerate(turns) if turn == side] for side in (0, 1)]
    assert sum(places[0]) == sum(places[1])


def test_a_block_counts_calls_after_its_warm_up_and_at_least_one():
    calls = []

    def call() -> None:
        calls.append(time.perf_counter())
        time.sleep(0.01)

    uncounted, counted = timed(call, Block(warm_ms=15, timed_ms=25))
    assert len(calls) == len(uncounted) + len(counted)
    assert 1 <= len(uncounted) <= 2 and 1 <= len(counted) <= 3, (
        "fewer where the machine is busy and a call takes longer"
    )
    assert all(nanoseconds >= 10e6 for nanoseconds in counted)
    uncounted, counted = timed(call, Block(warm_ms=0, timed_ms=1))
    assert not uncounted and len(counted) == 1


def measured_job(wide: Side, runtime: Any = "onnxruntime") -> Measurement:
    processors = frozenset(os.sched_getaffinity(0))
    return Measurement(runtime, wide.artefacts[runtime], "fp32", 1, SHAPE, 2, "cpu", processors)


def test_the_row_tells_that_other_processes_took_the_processor(wide):
    processor = {min(os.sched_getaffinity(0))}
    before = os.sched_getaffinity(0)
    params = Latency(runtimes=("torch",), blocks=4, block_ms=100, warmup_ms=0)
    try:
        os.sched_setaffinity(0, processor)
        other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            (row,) = measure_pair(wide, wide, params=params, shape=SHAPE, threads=1)
        finally:
            other.kill()
            other.wait()
    finally:
        os.sched_setaffinity(0, before)
    assert row["foreign_load"] > 0.3


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_whoever_has_no_turn_uses_no_processor_time(wide, runtime):
    with latency_process.measured(measured_job(wide, runtime), forks.start) as measured:
        measured.answer()
        for _ in range(2):
            assert measured.timed(Block(0, 20))
            measured.stop()
            before = procfs.used_s(measured.pid)
            time.sleep(0.05)
            assert procfs.used_s(measured.pid) == before
            measured.wake()


def test_calls_take_no_memory_anew(wide):
    """What glibc gives back it takes anew page by page, in some processes more than in others."""
    job = replace(measured_job(wide, "torch"), batch=64)
    with latency_process.measured(job, forks.start) as measured:
        measured.answer()
        taken = []
        for _ in range(4):  # the first ones find out how much is needed
            before = faults(measured.pid)
            calls = len(measured.timed(Block(0, 50)))
            taken.append((faults(measured.pid) - before) / calls)
    assert min(taken) < 50, "pages a call; thousands without it"


def faults(pid: int) -> int:
    """Pages that a process has been given so far."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def test_processes_keep_to_the_processors_of_the_one_that_measures(wide):
    own = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(own)})
        with latency_process.measured(measured_job(wide), forks.start) as measured:
            measured.answer()
            tasks = [int(task.name) for task in Path(f"/proc/{measured.pid}/task").iterdir()]
            assert all(os.sched_getaffinity(task) == {min(own)} for task in tasks)
    finally:
        os.sched_setaffinity(0, own)


def test_a_model_that_a_runtime_refuses_is_an_error_with_runtime_and_batch(wide, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"broken")
    broken = Side({"onnxruntime": tmp_path / "model.onnx"})
    start = Recorder()
    params = QUICK.model_copy(update={"runtimes": ("onnxruntime",), "batch": (4,)})
    with pytest.raises(SecateurError, match="No latency in onnxruntime at batch 4"):
        measure_pair(wide, broken, params=params, shape=SHAPE, threads=1, start=start)
    assert wait_gone([process.pid for process in start.processes], 1)


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGKILL, "memory ran out"), (signal.SIGSEGV, "SIGSEGV")]
)
def test_a_process_that_dies_is_an_error_that_says_how(wide, narrow, number, words):
    start = Recorder()
    params = QUICK.model_copy(update={"runtimes": ("torch",), "blocks": 1000})

    def kill_second() -> None:
        while len(start.processes) < 2:
            time.sleep(0.01)
        time.sleep(0.5)
        os.kill(start.processes[1].pid, number)

    killer = threading.Thread(target=kill_second)
    killer.start()
    with pytest.raises(SecateurError, match="No latency in torch at batch 1") as caught:
        measure_pair(wide, narrow, params=params, shape=SHAPE, threads=1, start=start)
    killer.join()
    assert words in str(caught.value)
    assert wait_gone([process.pid for process in start.processes], 1)


def measure_forever(folders: list[Path], pipe: Any) -> None:
    """In a process of its own, which says whom it has started."""

    def start(target: Callable[..., None], args: tuple[Any, ...]) -> Any:
        process = forks.start(target, args)
        pipe.send(process.pid)
        return process

    params = Latency(runtimes=("torch",), blocks=1000, block_ms=20, warmup_ms=0)
    sides = [Side({"torch": folder}) for folder in folders]
    measure_pair(*sides, params=params, shape=SHAPE, threads=1, start=start)


def test_when_the_measuring_process_is_killed_both_sides_end(wide, narrow):
    ours, theirs = multiprocessing.Pipe()
    process = forks.start(measure_forever, ([one.artefacts["torch"] for one in (wide, narrow)], theirs))
    pids = [ours.recv() for _ in range(2)]
    deadline = time.monotonic() + 20
    while not any(state(pid) == "T" for pid in pids):
        assert time.monotonic() < deadline and process.exitcode is None
        time.sleep(0.01)
    process.kill()
    process.join()
    assert wait_gone(pids, 5)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def nested(pipe: Any) -> None:
    """In a process from the fork server: start one more, which says whose child it is."""
    forks.start(report, (pipe,)).join()


def report(pipe: Any) -> None:
    pipe.send((os.getppid(), "torch" in sys.modules, threading.active_count(), torch.__version__))


def test_a_process_from_the_warm_server_starts_more_from_the_same_server():
    ours, theirs = multiprocessing.Pipe()
    found = []
    for target in (report, nested):
        process = forks.start(target, (theirs,))
        found.append(ours.recv())
        process.join()
    assert found[0] == found[1] and found[0][0] != os.getpid()


def test_a_machine_that_others_keep_busy_does_not_become_quiet_and_is_not_waited_for() -> None:
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(len(os.sched_getaffinity(0)))
    ]
    try:
        assert not pair.becomes_quiet(0.1, time.monotonic() + pair.MOMENT_S)
        assert pair.becomes_quiet(1.0, time.monotonic()), "all of the time is little enough"
    finally:
        for other in others:
            other.kill()
            other.wait()
