"""A latency is told of the model that was scored, and of no other."""

from pathlib import Path

import pytest
import torch

from engine.compute.latency.pair import Side, measure_pair, outputs
from engine.compute.models.int8 import QuantizedNetwork
from engine.compute.steps.apply import apply
from engine.compute.worker.latency import as_scored
from engine.machine import runtimes
from engine.params import QuantizeDynamic, QuantizeStatic
from engine.params.preset import Latency
from tests.engine.compute.compute_help import context_for, digits, small_model

pytestmark = pytest.mark.skipif(bool(runtimes.missing("openvino", "cpu")), reason="needs OpenVINO")


def int8(seed: int, step: QuantizeStatic | QuantizeDynamic | None = None) -> QuantizedNetwork:
    made = apply(step or QuantizeStatic(), small_model(seed=seed), context_for())
    assert isinstance(made, QuantizedNetwork)
    return made


def test_a_runtime_that_makes_another_model_of_an_int8_file_is_not_timed(tmp_path: Path) -> None:
    scored, other = int8(0), int8(1)
    refused = {}
    for name, of in (("as scored", scored), ("another", other)):
        file = tmp_path / f"{name}.onnx"
        file.write_bytes(of.file)
        side = Side({"onnxruntime": file, "openvino": file}, quantized=True)
        refused[name] = as_scored(side, scored, digits(), 1, "cpu")
    assert refused["as scored"].refused == {}
    why = refused["another"].refused["openvino"]
    assert "another model of the INT8 file than was scored" in why
    params = Latency(runtimes=("openvino",), batch=(1,), blocks=3)
    (row,) = measure_pair(side, refused["another"], params=params, shape=(1, 8, 8), threads=1)
    assert row["unavailable"] == why


def test_one_that_quantizes_by_the_range_of_a_call_is_compared_one_image_a_call(tmp_path: Path) -> None:
    """As it is scored; all images in one call would be rounded otherwise."""
    model, file = int8(0, QuantizeDynamic()), tmp_path / "model.onnx"
    file.write_bytes(model.file)
    images = digits().normalize(digits().validation.images.gather(torch.arange(8)), channels_last=False)
    images[0] *= 50
    given = outputs(
        Side({"onnxruntime": file}, quantized=True), "onnxruntime", images, shape=(1, 8, 8), threads=1
    )
    assert torch.equal(given, torch.cat([model(image) for image in torch.split(images, 1)]))
