"""INT8 files of detectors: judged by the boxes that they give."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.compute.data import Dataset
from engine.compute.models import checkpoint
from engine.compute.steps.factorization.step import split
from engine.compute.steps.quantization.int8 import quantize_dynamic, quantize_static
from engine.compute.steps.quantization.qat import quantize_qat
from engine.compute.tasks import task_of
from engine.compute.tasks.evaluate import score
from engine.compute.yolo.heads import head_outputs
from engine.errors import SecateurError
from engine.params import Factorize, QuantizeDynamic, QuantizeQat, QuantizeStatic
from engine.params.factorization import Ratio
from tests.engine.compute.compute_help import context_for
from tests.engine.compute.yolo.yolo_help import CPU, output, yolo

if importlib.util.find_spec("ultralytics") is None:
    pytest.skip("the extra `yolo` is not installed", allow_module_level=True)


def assert_near(given: torch.Tensor, expected: torch.Tensor) -> None:
    """Boxes within half a pixel and scores within a hundredth, and not the same: 8 bits make a difference."""
    off = (given - expected).abs()
    assert 0 < float(off[:, :4].max()) < 0.5 and 0 < float(off[:, 4:].max()) < 0.01


def test_an_int8_file_is_scored_by_its_boxes_and_keeps_what_gives_them_in_float(
    canvases: Dataset, tmp_path: Path
) -> None:
    model, context = yolo(), context_for(data=canvases)
    made = quantize_static(model, QuantizeStatic(images=8, bias_correction="on", equalize="off"), context)
    rows = {row["name"]: row["precision"] for row in context.observations["precision"]}
    assert {name for name, precision in rows.items() if precision == "fp32"} == head_outputs(model)
    found, before = (score(one, canvases, canvases.test, CPU) for one in (made, model))
    assert found.loss is None and before.loss is not None
    assert found.measures.keys() == before.measures.keys()
    assert_near(output(made), output(model))
    checkpoint.save(made, tmp_path)
    again = checkpoint.load(tmp_path)
    assert torch.equal(score(again, canvases, canvases.test, CPU).predictions, found.predictions)


def test_of_a_chain_the_last_gives_boxes_and_scores_and_no_class_of_others_called_head_does() -> None:
    class Head(nn.Module):
        pass

    model = yolo()
    names = head_outputs(model)
    first = min(names)
    assert len(names) == 6 and split(model, first, Factorize(rank=Ratio(ratio=0.5)))
    assert head_outputs(model) == names - {first} | {f"{first}.1"}
    assert not head_outputs(nn.Sequential(Head()))


def test_a_detector_quantized_on_the_fly_gives_its_boxes(canvases: Dataset) -> None:
    model, context = yolo(), context_for(data=canvases)
    made = quantize_dynamic(model, QuantizeDynamic(convolutions=True), context)
    assert_near(output(made), output(model))
    with pytest.raises(SecateurError, match="cannot be trained with fake quantization"):
        quantize_qat(model, QuantizeQat(), context)


def test_scores_and_boxes_count_alike_in_a_deviation_and_anchors_without_objects_do_not(
    canvases: Dataset,
) -> None:
    deviation = task_of(canvases).deviation
    random = torch.Generator().manual_seed(0)
    outputs = torch.rand(8, 4 + 2, 5, generator=random)
    outputs[:, :4] *= 100
    outputs[:, 4:, 3:] = 0
    assert deviation([(outputs, outputs)]) == 0
    scores, boxes, unseen = outputs.clone(), outputs.clone(), outputs.clone()
    scores[:, 4:] = outputs[:, 4:].mean(0)
    boxes[:, :4] = outputs[:, :4].mean(0)
    unseen[:, :4, 3:] += 50
    assert deviation([(outputs, scores)]) == pytest.approx(0.5)
    assert deviation([(outputs, boxes)]) == pytest.approx(0.5)
    assert deviation([(outputs, unseen)]) == 0
