"""OpenVINO on the processor: for one answer at a time, as soon as it can be given."""

import statistics
from pathlib import Path
from typing import Any

import openvino
from openvino import properties
from torch import Tensor

from engine.compute.numerics.aligned import from_array, to_array
from engine.compute.onnx.float_operators import DATA_MOVEMENT
from engine.errors import Unavailable, said_by
from engine.params.runtimes import Precision

TYPES = {
    "fp32": openvino.Type.f32,
    "bf16": openvino.Type.bf16,
    "fp16": openvino.Type.f16,
}
PLUMBING = {
    "Concatenation",
    "Input",
    "Output",
    "Const",
    "Reorder",
    "Convert",
    "FakeQuantize",
    "Quantize",
    "Dequantize",
}
"""Nodes of a compiled network that compute no layer: its edges, its weights, and changes of type or layout."""
FLOATS = {"f32", "bf16", "f16"}
CUT_OFF = 0.5
"""Microseconds that OpenVINO's times of nodes lack on average: it tells whole ones that have passed, often none."""


class OpenvinoSession:
    """An `.onnx` file, run by OpenVINO in a fixed shape, which is up to twice as fast as any shape at once.

    Raises Unavailable when OpenVINO does not take the file, or does not compute in `precision` here.
    """

    def __init__(
        self, path: Path, inputs: Tensor, threads: int, _device: str = "cpu", precision: Precision = "fp32"
    ) -> None:
        self._path = path
        self._threads = threads
        self._precision = precision
        self._others: dict[tuple[int, ...], Any] = {}
        self._shape = tuple(inputs.shape)
        self._request = self._opened(self._shape)
        self._inputs = to_array(inputs)
        self._request.set_input_tensor(openvino.Tensor(self._inputs, shared_memory=True))

    def _opened(self, shape: tuple[int, ...]) -> Any:
        return compiled(self._path, shape, self._threads, self._precision).create_infer_request()

    def __call__(self) -> None:
        self._request.infer()

    def run(self, inputs: Tensor) -> Tensor:
        shape = tuple(inputs.shape)
        if shape not in self._others:
            self._others[shape] = self._opened(shape)
        request = self._others[shape]
        request.infer([to_array(inputs)])
        return from_array(request.get_output_tensor(0).data).float()


def executed(
    network: bytes, inputs: Tensor, threads: int, warmup: int, calls: int
) -> list[tuple[str, str, list[str], float]]:
    """Of each node that the compiled network executes, in order: its type, its name, the names of the file's nodes that
    it is made of, and the median of its microseconds over so many calls behind the first `warmup`."""
    compiled_network = compiled(network, tuple(inputs.shape), threads, "fp32", profiled=True)
    request = compiled_network.create_infer_request()
    durations: dict[str, list[float]] = {}
    for call in range(warmup + calls):
        request.infer([to_array(inputs)])
        for node in request.profiling_info if call >= warmup else ():
            durations.setdefault(node.node_name, []).append(node.real_time.total_seconds() * 1e6 + CUT_OFF)
    found = []
    for node in compiled_network.get_runtime_model().get_ordered_ops():
        name, about = node.get_friendly_name(), node.get_rt_info()
        if name in durations:
            made_of = [one for one in about["originalLayersNames"].astype(str).split(",") if one]
            found.append(
                (about["layerType"].astype(str), name, made_of, float(statistics.median(durations[name])))
            )
    return found


def compiled(
    network: Path | bytes,
    shape: tuple[int, ...],
    threads: int,
    precision: Precision,
    *,
    profiled: bool = False,
) -> Any:
    """The ONNX file `network`, compiled for an input of `shape`; `profiled`: to tell what each node takes.

    Raises Unavailable when OpenVINO does not take it.
    """
    settings = {
        properties.enable_profiling: profiled,
        properties.hint.performance_mode: properties.hint.PerformanceMode.LATENCY,
        properties.num_streams: 1,
        properties.inference_num_threads: threads,
        # Always said: left alone, OpenVINO takes bf16 where the processor has it, whatever was asked for.
        properties.hint.inference_precision: TYPES[precision],
    }
    try:
        core = openvino.Core()
        graph = core.read_model(network)
        graph.reshape(list(shape))
        network_compiled = core.compile_model(graph, "CPU", settings)
    except RuntimeError as error:
        why = " ".join(said_by(error)[-2:])[:300]
        raise Unavailable(f"OpenVINO does not take the network: {why}") from error
    given = network_compiled.get_property(properties.hint.inference_precision)
    if given != TYPES[precision]:
        raise Unavailable(f"OpenVINO computes in {given.get_type_name()} here, not in {precision}")
    return network_compiled


def float_operators(path: Path, shape: tuple[int, ...], _device: str = "cpu") -> dict[str, int]:
    """How many operators of each type OpenVINO computes in float, in a network of integers."""
    counts: dict[str, int] = {}
    for node in compiled(path, shape, 1, "fp32").get_runtime_model().get_ordered_ops():
        about = node.get_rt_info()
        kind, type_ = about["layerType"].astype(str), about["runtimePrecision"].astype(str)
        if type_ in FLOATS and kind not in PLUMBING | DATA_MOVEMENT:
            counts[kind] = counts.get(kind, 0) + 1
    return counts
