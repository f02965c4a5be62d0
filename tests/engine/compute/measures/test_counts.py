"""Counts agree with known figures and with arithmetic done by hand, and leave the model as it was."""

import copy

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from engine.compute.layers.masks import fold_, set_mask
from engine.compute.measures.counts import Counts, count
from engine.compute.models.resnet import CifarResNet
from engine.errors import SecateurError


@pytest.mark.parametrize(
    ("name", "size", "parameters", "macs"),
    [
        ("resnet18", 224, 11_689_512, 1.814e9),
        ("mobilenet_v3_small", 224, 2_542_856, 56.5e6),
        ("vit_b_16", 224, 86_567_656, 17.56e9),
        ("swin_t", 224, 28_288_354, 4.491e9),
    ],
)
def test_known_figures(name, size, parameters, macs):
    """As torchvision publishes them with its weights (swin_t calls F.linear on its weights)."""
    counts = count(torchvision.models.get_model(name), (3, size, size))
    assert counts.parameters == parameters
    assert counts.macs == pytest.approx(macs, rel=1e-3)
    assert sum(layer.macs for layer in counts.layers) == counts.macs


def test_resnet20_on_cifar_has_40_8_million_macs_and_272_thousand_parameters():
    """0.27 M parameters (He et al., 2016, table 6)."""
    counts = count(CifarResNet(20, channels=3, classes=10), (3, 32, 32))
    assert counts.macs == pytest.approx(40.8e6, rel=0.005)
    assert counts.parameters == pytest.approx(272_000, rel=0.01)


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (nn.Conv2d(6, 8, 3, padding=1), (6, 10, 12), 10 * 12 * 8 * 6 * 9),
        (nn.Conv2d(6, 8, 3, stride=2, bias=False), (6, 11, 13), 5 * 6 * 8 * 6 * 9),
        (nn.Conv2d(6, 12, 3, groups=3, padding=1), (6, 10, 12), 10 * 12 * 12 * 2 * 9),
        (nn.Conv2d(6, 6, 5, groups=6, padding=2), (6, 10, 12), 10 * 12 * 6 * 25),
        (nn.Conv2d(6, 8, 3, dilation=2), (6, 10, 12), 6 * 8 * 8 * 6 * 9),
        (nn.ConvTranspose2d(6, 8, 3, stride=2), (6, 5, 7), 5 * 7 * 6 * 8 * 9),
        (nn.ConvTranspose2d(6, 8, 3, stride=2, groups=2), (6, 5, 7), 5 * 7 * 6 * 4 * 9),
        (nn.Conv1d(4, 5, 3), (4, 20), 18 * 5 * 4 * 3),
        (nn.Conv3d(2, 3, 3, padding=1), (2, 4, 5, 6), 4 * 5 * 6 * 3 * 2 * 27),
        (nn.Linear(7, 5), (7,), 35),
        (nn.Linear(7, 5, bias=False), (7,), 35),
        (nn.Linear(7, 5), (3, 4, 7), 12 * 35),
        (nn.Linear(7, 5, bias=False), (3, 4, 7), 12 * 35),
    ],
    ids=lambda value: str(value) if isinstance(value, nn.Module) else None,
)
def test_macs_of_a_layer_dense_and_half_pruned(layer, shape, macs):
    assert count(layer, shape).macs == count(layer, shape).effective_macs == macs
    with torch.no_grad():
        layer.weight.view(-1)[::2] = 0
    pruned = count(layer, shape)
    share = int(layer.weight.count_nonzero()) / layer.weight.numel()
    assert pruned.macs == macs
    assert pruned.effective_macs == pytest.approx(macs * share)
    assert pruned.sparsity == pytest.approx(1 - share)
    (row,) = pruned.layers
    assert (row.name, row.type, row.shape) == ("weight", type(layer).__name__, tuple(layer.weight.shape))
    assert row.parameters == sum(p.numel() for p in layer.parameters())


class Attend(nn.Module):
    def __init__(self, **options: object) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True, **options)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return out


def test_attention_counts_its_projections_and_its_products():
    tokens, width = 9, 16
    counts = count(Attend(), (tokens, width))
    rows = {layer.name: layer for layer in counts.layers}
    assert rows["attention.in_proj_weight"].macs == tokens * width * 3 * width
    assert rows["attention.out_proj.weight"].macs == tokens * width * width
    assert rows["attention"].macs == 2 * tokens * tokens * width
    assert rows["attention"].shape == () and rows["attention"].type == "MultiheadAttention"
    assert counts.macs == sum(row.macs for row in rows.values())
    assert count(Attend(kdim=16, vdim=16), (tokens, width)).macs == counts.macs


class Recurrent(nn.Module):
    def __init__(self, kind: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.rows = getattr(nn, kind)(6, 5, 2, batch_first=True, bidirectional=True, dtype=dtype)
        self.pair = nn.Bilinear(10, 10, 3, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        last = self.rows(x)[0][:, -1]
        return self.pair(last, last)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64]
)  # whole in oneDNN's kernel, and by its products
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_every_weight_of_a_recurrent_layer_is_met_in_every_step(kind: str, dtype: torch.dtype):
    network, steps = Recurrent(kind, dtype), 7
    rows = {layer.name: layer for layer in count(network, (steps, 6)).layers}
    weights = {name: one for name, one in network.named_parameters() if "weight" in name}
    assert {name: row.macs for name, row in rows.items()} == {
        name: one.numel() * (steps if name.startswith("rows") else 1) for name, one in weights.items()
    }


class Complex(nn.Module):
    """Its first weights are of another type than the images that it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Parameter(torch.ones(4, 4, dtype=torch.complex64))
        self.stem = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return (self.stem(x).mean((2, 3)).to(self.turn.dtype) @ self.turn).abs()


def test_a_network_is_given_images_of_their_own_type_whatever_its_first_weights_have():
    rows = {layer.name: layer.macs for layer in count(Complex(), (3, 8, 8)).layers}
    assert rows == {"turn": 4 * 4, "stem.weight": 36 * 3 * 4 * 9}


class Functional(nn.Module):
    """Uses weights without calling the modules that own them, and one that no module type announces."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.table = nn.Parameter(torch.randn(8, 4))
        self.unused = nn.Linear(8, 100)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.inner.weight[:4]) + x @ self.table


def test_functional_calls_belong_to_the_weight_they_use():
    model = Functional()
    with torch.no_grad():
        model.inner.weight[:2] = 0
    rows = {layer.name: layer for layer in count(model, (8,)).layers}
    assert rows["inner.weight"].macs == 32 and rows["inner.weight"].effective_macs == 16
    assert rows["table"].macs == 32 and rows["table"].type == "Functional"
    assert rows["unused.weight"].macs == 0


def masked_network() -> tuple[nn.Module, nn.Module]:
    """A network with masks, and the same network with them folded."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(), nn.Flatten(), nn.Linear(8 * 36, 5)
    )
    plain = copy.deepcopy(model)
    for one in (model, plain):
        torch.manual_seed(1)
        set_mask(one[0], torch.rand(8, 3, 3, 3) < 0.25)
        set_mask(one[4], torch.rand(5, 288) < 0.5)
    return model, fold_(plain)


def test_masks_count_as_the_folded_model_does():
    model, plain = masked_network()
    counts = count(model, (3, 8, 8))
    assert counts == count(plain, (3, 8, 8))
    assert counts.parameters == 3 * 8 * 9 + 8 + 16 + 8 * 36 * 5 + 5
    assert [layer.name for layer in counts.layers] == ["0.weight", "4.weight"]
    assert [layer.type for layer in counts.layers] == ["Conv2d", "Linear"]
    zeros = sum(int((plain[i].weight == 0).sum()) for i in (0, 4))
    assert counts.sparsity == pytest.approx(zeros / (3 * 8 * 9 + 8 * 36 * 5))
    assert counts.parameters - counts.nonzero == zeros + 8  # BatchNorm's bias starts at zero


def test_shared_weights_are_counted_once_and_their_macs_every_time():
    layer = nn.Linear(6, 6, bias=False)
    counts = count(nn.Sequential(layer, nn.ReLU(), layer), (6,))
    assert counts.parameters == 36 and counts.macs == 72
    tied = nn.Sequential(nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False))
    tied[1].weight = tied[0].weight
    assert count(tied, (6,)).parameters == 36


def test_the_model_is_left_as_it_was():
    model, _ = masked_network()
    model.train()
    model[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    weight = model[0].weight
    modes = [module.training for module in model.modules()]
    fast = torch.backends.mha.get_fastpath_enabled()
    random = torch.get_rng_state()
    count(model, (3, 8, 8))
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(model[0].weight, weight) and parametrize.is_parametrized(model[0])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert torch.equal(torch.get_rng_state(), random)


def test_a_wrong_image_shape_is_a_clear_error_and_leaves_the_mode():
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    with pytest.raises(SecateurError, match="does not run on an image of 1 × 8 × 8"):
        count(model, (1, 8, 8))
    assert model.training
    assert isinstance(count(model, (3, 8, 8)), Counts)
