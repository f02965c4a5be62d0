"""Attention with free heads computes what the module did that it takes the place of."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from engine.compute.layers.attention import FreeMultiheadAttention, freed
from engine.compute.layers.masks import set_mask
from engine.compute.layers.select import replace, weight_of
from engine.compute.measures.products import unfused_attention
from tests.engine.compute.steps.channels import channels_help as networks
from tests.engine.compute.steps.channels.channels_help import own


@pytest.mark.parametrize("maker", [networks.vit, networks.swin, networks.swin_v2])
@pytest.mark.parametrize("training", [False, True])
def test_it_gives_the_same_bits(maker: Callable[[], nn.Module], training: bool) -> None:
    before = own(maker).train(training)
    with torch.no_grad():
        for parameter in before.parameters():
            parameter.normal_(std=0.2)
    after = copy.deepcopy(before)
    made = {name: new for name, module in after.named_modules() if (new := freed(module)) is not None}
    assert len(made) >= 2
    for name, module in made.items():
        replace(after, name, module)
    images = torch.randn(3, 3, networks.SIZE, networks.SIZE)
    with unfused_attention(), torch.no_grad():  # the fused path of torch is another order of sums
        torch.manual_seed(0)
        expected = before(images)
        torch.manual_seed(0)
        assert torch.equal(after(images), expected)


@pytest.mark.parametrize("batch_first", [True, False])
def test_what_it_is_not_for_is_refused(batch_first: bool) -> None:
    before = nn.MultiheadAttention(8, 2, batch_first=batch_first).eval()
    after = freed(before)
    assert isinstance(after, FreeMultiheadAttention)
    x, other = torch.randn(2, 3, 8), torch.randn(2, 3, 8)
    torch.testing.assert_close(after(x, x, x)[0], before(x, x, x)[0])
    with pytest.raises(ValueError, match="over itself"):
        after(x, other, other)
    with pytest.raises(ValueError, match="mask"):
        after(x, x, x, attn_mask=torch.zeros(3, 3))


def test_masks_stay() -> None:
    before = nn.MultiheadAttention(8, 2, batch_first=True)
    mask = torch.rand(8, 8) > 0.5
    set_mask(before.out_proj, mask)
    after = freed(before)
    assert after is not None and after.out is not before.out_proj
    assert torch.equal(weight_of(after.out) != 0, mask)


@pytest.mark.parametrize(
    "module",
    [
        nn.MultiheadAttention(8, 2, add_bias_kv=True),
        nn.MultiheadAttention(8, 2, kdim=4, vdim=4),
        nn.MultiheadAttention(8, 2, add_zero_attn=True),
        nn.Linear(8, 8),
    ],
)
def test_other_modules_stay_as_they_are(module: nn.Module) -> None:
    assert freed(module) is None
