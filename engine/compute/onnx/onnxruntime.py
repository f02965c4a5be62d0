"""ONNX Runtime with all graph optimizations, on the CPU or with its CUDA provider if it is installed."""

import json
import statistics
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
from torch import Tensor

from engine.compute.numerics.aligned import from_array, to_array
from engine.errors import SecateurError, Unavailable
from engine.machine import private
from engine.params.runtimes import Precision

ort.set_default_logger_severity(4)
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"

FAILURES: tuple[type[Exception], ...] = tuple(
    error for error in vars(ort_errors).values() if isinstance(error, type) and issubclass(error, Exception)
)
"""ONNX Runtime's errors have no common base below Exception."""


class OnnxSession:
    """An `.onnx` file, run by ONNX Runtime; in fp16, its float weights and operators are halved first."""

    def __init__(
        self, path: Path, inputs: Tensor, threads: int, device: str, precision: Precision = "fp32"
    ) -> None:
        try:
            graph = halved(path) if precision == "fp16" else str(path)
            self._session = ort.InferenceSession(
                graph, options(threads), providers=providers(device, precision)
            )
            self._must_compute_on(device)
            self._bound = self._bind(inputs, device)
        except FAILURES as error:
            raise SecateurError("ONNX Runtime does not take the model", f"{path.name}: {error}") from error

    def _must_compute_on(self, device: str) -> None:
        """Raises Unavailable where ONNX Runtime would compute on the processor instead, and say nothing."""
        if device.startswith("cuda") and CUDA not in self._session.get_providers():
            raise Unavailable(
                "ONNX Runtime can't use the GPU here: its CUDA provider does not load (it needs the CUDA and cuDNN "
                "that it was built for)"
            )

    def _bind(self, inputs: Tensor, device: str) -> Any:
        """Input and outputs placed once, so that a call moves no data between host and device."""
        place = "cuda" if CUDA in self._session.get_providers() else "cpu"
        binding = self._session.io_binding()
        name = self._session.get_inputs()[0].name
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(to_array(inputs), place, 0))
        for output in self._session.get_outputs():
            binding.bind_output(output.name, place)
        return binding

    def __call__(self) -> None:
        self._session.run_with_iobinding(self._bound)

    def run(self, inputs: Tensor) -> Tensor:
        return _outputs(self._session, inputs, None)[0]


def halved(path: Path) -> bytes:
    """The network in `path` in fp16, its inputs and outputs in fp32."""
    from onnxruntime.transformers import float16

    model = float16.convert_float_to_float16(onnx.load_model(path), keep_io_types=True)
    content: bytes = model.SerializeToString()
    return content


class OnnxModel:
    """A whole ONNX file in memory, run on the processor beside torch: its threads do not spin between calls."""

    def __init__(self, file: bytes, threads: int, *, optimized: bool = True) -> None:
        """`optimized`: with ONNX Runtime's graph optimizations. Raises SecateurError for a file it does not take."""
        self.threads = threads
        chosen = options(threads)
        chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if not optimized:
            chosen.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = ort.InferenceSession(file, chosen, providers=[CPU])
        except FAILURES as error:
            raise SecateurError("ONNX Runtime does not take the model", str(error)) from error

    def __call__(self, images: Tensor) -> Tensor:
        """The first output for `images` (N, C, H, W), on the CPU."""
        return self.outputs(images, None)[0]

    def outputs(self, images: Tensor, names: list[str] | None) -> list[Tensor]:
        """The outputs of these names, all by default."""
        return _outputs(self._session, images, names)


def _outputs(session: ort.InferenceSession, images: Tensor, names: list[str] | None) -> list[Tensor]:
    """The outputs of these names, all by default, on the CPU."""
    try:
        arrays = session.run(names, {session.get_inputs()[0].name: to_array(images)})
    except FAILURES as error:
        raise SecateurError("ONNX Runtime failed on an input", f"{tuple(images.shape)}: {error}") from error
    return [from_array(output) for output in arrays]


def options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 4
    return options


def providers(device: str, precision: Precision = "fp32") -> list[Any]:
    if not device.startswith("cuda") or CUDA not in ort.get_available_providers():
        return [CPU]
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # CUDA and cuDNN from where torch has them
    # Said either way: left alone, it is TF32.
    return [(CUDA, {"use_tf32": "1" if precision == "tf32" else "0"}), CPU]


def executed(
    network: bytes, inputs: Tensor, threads: int, warmup: int, calls: int
) -> list[tuple[str, str, list[str], float]]:
    """Of each node that ONNX Runtime executes, in order: its type, its name, no names of others that it is made of, and
    the median of its microseconds over so many calls behind the first `warmup`."""
    with private.scratch() as folder:
        chosen = options(threads)
        chosen.enable_profiling = True
        chosen.profile_file_prefix = str(folder / "profile")
        session = ort.InferenceSession(network, chosen, providers=[CPU])
        given = {session.get_inputs()[0].name: to_array(inputs)}
        for _ in range(warmup + calls):
            session.run(None, given)
        events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text())
    durations: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            key = event["args"]["op_name"], event["name"].removesuffix("_kernel_time")
            durations.setdefault(key, []).append(event["dur"])
    return [
        (operator, name, [], statistics.median(each[warmup:])) for (operator, name), each in durations.items()
    ]
