"""The same facts on other processors: told to libraries by their switches, or all of a processor emulated by QEMU.

Which switch reaches what is in docs/processors.md. Each case runs tests of the suite in a process of its own, with what
it starts in turn. `-m processors` runs these alone.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from engine.machine.environment import cpu, cpu_features
from tests import HOME

pytestmark = pytest.mark.processors


TIMEOUT_S = 600.0
"""Many times what a case needs where nothing else runs."""
STUDIES = "tests/engine/runner/test_engine_runs.py"
STUDY = (
    f"{STUDIES}::test_json_has_what_programs_rely_on",
    f"{STUDIES}::test_a_second_run_computes_nothing_and_gives_the_same",
    f"{STUDIES}::test_a_replay_is_identical_and_a_tampered_original_is_told",
)
"""Trains, prunes, fine-tunes, saves, loads back, measures latencies, replays."""
_INTERRUPTED = (
    "tests/engine/compute/training/test_loop.py::test_an_interrupted_training_goes_on_with_the_same_bits"
)
RESUMED = (
    f"{STUDIES}::test_two_at_a_time_cancelled_and_resumed_give_the_same_bits",
    f"{_INTERRUPTED}[last-sgd]",
    f"{_INTERRUPTED}[best-adam]",
)
"""With each kind of state that an optimizer has; that of Adam is kept in one way whether weights decay or not."""
INT8 = (
    "tests/engine/compute/steps/quantization/test_static.py::test_the_file_is_close_to_the_network_and_is_what_is_scored",
    "tests/engine/compute/steps/quantization/test_static.py::test_the_same_seed_gives_the_same_bytes",
    "tests/engine/compute/steps/quantization/test_static.py::test_a_checkpoint_holds_the_file_and_a_runtime_opens_that_very_file",
)
PLACES = ("tests/engine/compute/models/test_places.py",)
QUICKSTART = ("tests/engine/runner/test_preset_runs.py::test_the_preset_runs_to_its_end[quickstart]",)


@dataclass(frozen=True)
class Switches:
    """Variables that make libraries take the instructions of a lesser processor.

    Attributes:
        needs: What Linux calls the feature that a processor must have to be asked for this.
        variables: What is set.
        seen: What each library then says that it takes, as a regular expression.
    """

    needs: str
    variables: dict[str, str]
    seen: dict[str, str]


MKL_ANYWHERE = "CNR:COMPATIBLE"
"""The one way that MKL takes on every maker's processors; any other it takes for AUTO where they are not Intel's."""
SWITCHED = {
    "SSE4": Switches(
        needs="sse4_2",
        variables={
            "ATEN_CPU_CAPABILITY": "default",
            "ONEDNN_MAX_CPU_ISA": "SSE41",
            "MKL_CBWR": "COMPATIBLE",
            "OPENBLAS_CORETYPE": "Nehalem",
            "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
            "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
        },
        seen={
            "torch": "DEFAULT",
            "oneDNN": r"SSE4\.1",
            "MKL": MKL_ANYWHERE,
            "OpenBLAS": "Nehalem",
            "OpenVINO": "sse42",
            "numpy": "none",
        },
    ),
    "AVX2": Switches(
        needs="avx2",
        variables={
            "ATEN_CPU_CAPABILITY": "avx2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "MKL_CBWR": "AVX2",
            "OPENBLAS_CORETYPE": "Haswell",
            "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        },
        seen={
            "torch": "AVX2",
            "oneDNN": r"AVX2",
            "MKL": "CNR:AVX2",
            "OpenBLAS": "Haswell",
            "OpenVINO": "avx2",
            "numpy": "X86_V3",
        },
    ),
    "AVX-512 without VNNI, BF16 and AMX": Switches(
        needs="avx512bw",
        variables={
            "ATEN_CPU_CAPABILITY": "avx512",
            "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
            "MKL_CBWR": "AVX512",
            "OPENBLAS_CORETYPE": "SkylakeX",
            "NPY_DISABLE_CPU_FEATURES": "AVX512_ICL AVX512_SPR",
        },
        seen={
            "torch": "AVX512",
            "oneDNN": r"AVX-512 with AVX512BW, AVX512VL, and AVX512DQ extensions",
            "MKL": "CNR:AVX512",
            "OpenBLAS": "SkylakeX",
            "OpenVINO": "avx512",
            "numpy": "X86_V4",
        },
    ),
}
SAYS = {
    "oneDNN": r"onednn_verbose,.*cpu,isa:.*{}",
    "MKL": r"MKL_VERBOSE SGEMM.*{}",
    "OpenVINO": r"OpenVINO:.*{}",
}
"""Where in what is printed a library speaks, if not in a line of its own."""
LOOK = """
import numpy as np
import torch
from numpy._core._multiarray_umath import __cpu_dispatch__ as wanted, __cpu_features__ as has
from threadpoolctl import threadpool_info

print("torch:", torch.backends.cpu.get_cpu_capability())
print("numpy:", ([name for name in wanted if has[name] and name.startswith("X86_V")] or ["none"])[-1])
np.linalg.svd(np.eye(3))
pools = [pool for pool in threadpool_info() if pool["internal_api"] == "openblas"]
print("OpenBLAS:", *(pool["architecture"] for pool in pools), flush=True)
with torch.backends.mkl.verbose(torch.backends.mkl.VERBOSE_ON):
    torch.mm(torch.ones(64, 64), torch.ones(64, 64))
torch.nn.functional.conv2d(torch.ones(8, 16, 99, 99), torch.ones(16, 16, 3, 3))
"""
"""Prints which instructions torch, numpy, OpenBLAS and MKL take; oneDNN says so itself when asked to be verbose."""
LOOK_AT_OPENVINO = """
import numpy as np
import openvino
from onnx import TensorProto, helper, numpy_helper

weight = numpy_helper.from_array(np.ones((16, 16, 3, 3), np.float32), "w")
ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", (1, 16, 9, 9)), ("y", (1, 16, 7, 7)))]
graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weight])
file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
core = openvino.Core()
wish = {"PERF_COUNT": True, "INFERENCE_PRECISION_HINT": "f32"}
request = core.compile_model(core.read_model(file, b""), "CPU", wish).create_infer_request()
request.infer([np.ones((1, 16, 9, 9), np.float32)])
print("OpenVINO:", *(part.exec_type for part in request.profiling_info if part.node_type == "Convolution"))
"""
"""Prints which kernel OpenVINO takes for a convolution."""


def on(python: Path | str, arguments: list[str], variables: dict[str, str]) -> str:
    """What a process with this Python prints; it must end well."""
    ours = {name: value for name, value in os.environ.items() if name != "SECATEUR_TESTS_FORKSERVER"}
    done = subprocess.run(
        [str(python), *arguments],
        check=False,
        cwd=HOME,
        env=ours | {"PYTHONPATH": str(HOME), "PYTEST_ADDOPTS": ""} | variables,
        text=True,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout


def run_tests_on(python: Path | str, tests: tuple[str, ...], variables: dict[str, str]) -> None:
    """Run `tests` there, in one process: forked from the server of their studies, so that torch is imported once.

    Without other plugins: they need none, and to import those takes longer than all else but torch.
    """
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    forked = ["-p", "xdist.plugin", "-n", "2", "--maxprocesses", "1"]
    on(python, ["-m", "pytest", "-q", "-p", "no:cacheprovider", *forked, *tests], alone | variables)


def switched(name: str) -> Switches:
    switches = SWITCHED[name]
    if switches.needs not in cpu_features():
        pytest.skip(f"this processor has no {switches.needs}")
    return switches


@pytest.mark.parametrize("name", SWITCHED)
def test_libraries_take_the_instructions_that_they_are_told_to(name: str) -> None:
    switches = switched(name)
    said = on(sys.executable, ["-c", LOOK], switches.variables | {"ONEDNN_VERBOSE": "1"})
    if find_spec("openvino"):
        said += on(sys.executable, ["-c", LOOK_AT_OPENVINO], switches.variables)
    for library, wanted in switches.seen.items():
        if library == "OpenVINO" and not find_spec("openvino"):
            continue
        if library == "MKL" and wanted != MKL_ANYWHERE and "GenuineIntel" not in cpu()["stepping"]:
            wanted = "CNR:AUTO"
        assert re.search(SAYS.get(library, f"{library}: {{}}$").format(wanted), said, re.MULTILINE), (
            f"{library} does not say {wanted}:\n{said[-4000:]}"
        )


@pytest.mark.parametrize("name", SWITCHED)
def test_a_study_trains_resumes_replays_and_quantizes_and_the_quickstart_runs(name: str) -> None:
    run_tests_on(sys.executable, (*STUDY, *RESUMED, *INT8, *PLACES, *QUICKSTART), switched(name).variables)


EMULATED = {
    "AMD Zen 2": "EPYC-Rome",
    "Intel Haswell": "Haswell",
}
"""Processors as QEMU calls them; none has AVX-512, which QEMU does not emulate."""


FEW_IMPORTS = """
import gc, runpy, sys
from types import ModuleType

gc.disable()
for name, folder in (("torch._meta_registrations", ""), ("engine.params", sys.argv[1])):
    sys.modules[name] = ModuleType(name)
    sys.modules[name].__path__ = [folder]
runpy.run_module("tests.engine.compute.models.places", run_name="__main__")
"""
"""Asks all operators without a third of the imports: how tensors without data behave, and what presets may say.

Nor is garbage looked for, of which there is none.
"""


@pytest.mark.parametrize("name", EMULATED)
def test_an_emulated_processor_gives_the_same_bits_wherever_values_lie(name: str, tmp_path: Path) -> None:
    qemu = shutil.which("qemu-x86_64")
    if qemu is None or platform.machine() != "x86_64":
        pytest.skip(
            "QEMU's qemu-x86_64 is missing (Debian's package qemu-user), or this is no x86-64 machine"
        )
    (tmp_path / "proc").mkdir()  # what lies here stands before the system's own files
    (tmp_path / "proc" / "cpuinfo").write_text(_cpuinfo(name))
    python = tmp_path / "python"
    emulator = f"{qemu} -cpu {EMULATED[name]},check=off -L {tmp_path}"
    python.write_text(f'#!/bin/sh\nexec {emulator} {sys.executable} "$@"\n')
    python.chmod(0o755)
    # One small process without pytest: QEMU's can't fork workers, and all takes ten times as long, imports too.
    on(python, ["-c", FEW_IMPORTS, str(HOME / "engine" / "params")], {})


def _cpuinfo(name: str) -> str:
    """This machine's, as far as QEMU has its features."""
    text = Path("/proc/cpuinfo").read_text()
    vendor = "AuthenticAMD" if name.startswith("AMD") else "GenuineIntel"
    text = re.sub(r"(vendor_id\s*: ).*", rf"\g<1>{vendor}", text)
    text = re.sub(r"(model name\s*: ).*", rf"\g<1>{name} (emulated)", text)
    return re.sub(r" (avx512|amx|avx_vnni|avx_ifma)\w*", "", text)
