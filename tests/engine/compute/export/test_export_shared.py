"""Networks whose filters or kernels are shared, taken away: they run without this project and give the same."""

from pathlib import Path

import pytest
import torch
from torch import nn

from engine.compute.export.formats import write_model
from engine.compute.export.source import deviation
from engine.compute.export.verify import batches, run_alone
from engine.compute.layers.dictionaries import dictionaries
from engine.compute.layers.shared import shared_layers
from engine.compute.steps.clustering.filters import cluster_filters
from engine.compute.steps.clustering.kernels import cluster_kernels
from engine.params import ClusterFilters, ClusterKernels
from engine.results.exports import Format
from tests.engine.compute.compute_help import context_for, digits, small_model

IMAGES = 20


def network() -> nn.Module:
    """Shared filters in two stages, with scales in the second, and dictionaries of kernels in the third."""
    model = small_model()
    for stage, algorithm in (("2", "k-means"), ("1", "spherical")):
        settings = {"method": "shared", "algorithm": algorithm, "restarts": 1, "calibrate": False}
        skip = ("conv1", "fc", *(f"layer{other}.*" for other in "123" if other != stage))
        cluster_filters(model, ClusterFilters.model_validate(settings | {"skip": skip}), context_for())
    skip = ("conv1", "fc", "layer1.*", "layer2.*")
    cluster_kernels(model, ClusterKernels(entries=4, restarts=1, calibrate=False, skip=skip), context_for())
    scaled = {layer.scale is not None for layer in shared_layers(model).values()}
    assert scaled == {True, False} and dictionaries(model)
    return model.eval().to(memory_format=torch.contiguous_format)


@pytest.mark.parametrize("form", ["safetensors", "onnx", "packed"])
def test_it_runs_alone_and_gives_the_same(form: Format, tmp_path: Path) -> None:
    model, data = network(), digits()
    pixels = torch.randint(256, (IMAGES, 1, 8, 8), dtype=torch.uint8)
    done = write_model(tmp_path, form, model, data, lambda _: None)
    with torch.inference_mode():
        images = data.normalize(pixels, channels_last=False)
        expected = torch.cat([model(part) for part in images.split(batches(IMAGES))])
    off = deviation(run_alone(tmp_path, done.needs, pixels), expected)
    assert off <= done.tolerance.deviation <= 1e-3
    assert off == 0.0 or form == "onnx"
