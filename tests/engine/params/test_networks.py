"""The table of built-in networks says what counting them gives."""

import pytest

from engine.params.catalog import MODELS
from engine.params.networks import NETWORKS


def test_every_network_that_a_preset_can_name_is_in_it() -> None:
    assert tuple(NETWORKS) == MODELS


@pytest.mark.parametrize("name", ["resnet20", "torchvision/mobilenet_v3_small", "torchvision/squeezenet1_1"])
def test_it_holds_what_counting_gives(name: str) -> None:
    # They import torch: not in each process that only collects.
    from engine.compute.measures.counts import count
    from engine.compute.models.architecture import Architecture
    from engine.compute.models.build import build

    known = NETWORKS[name]
    network = build(Architecture(name, 3, known.classes, (known.size, known.size)))
    counts = count(network, (3, known.size, known.size))
    assert (counts.parameters, counts.macs) == (known.parameters, known.macs)
