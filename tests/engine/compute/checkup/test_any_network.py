"""Networks drawn at random from what people write: each is right, or refused in one message; none is changed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import datasets
from engine.compute import usercode
from engine.compute.checkup.network import Tried, check
from engine.compute.data import Dataset, load
from engine.compute.models import checkpoint
from engine.compute.models.layout import layout_of
from engine.compute.pretrained.create import create
from engine.errors import SecateurError
from engine.params.preset import Data, Model
from engine.sources import collect

BEGIN = """\
import math, random, sys, threading
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.one = nn.Conv2d(channels, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.two = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, classes)
"""
MIDDLE = """
    def forward(self, x):
        x = self.norm(self.one(x)).relu()
"""
END = """
        x = self.two(x).relu()
        out = self.head(x.mean((2, 3)))
        return RESULT


def build(channels, classes, size):
    return Net(channels, classes)
"""
MADE = (
    "self.extra = torch.ones(4, 1, 1)",
    "self.register_buffer('kept', torch.arange(4.0))",
    "self.register_buffer('unsaved', torch.rand(4), persistent=False)",
    "self.scale = nn.Parameter(torch.ones(1), requires_grad=False)",
    "self.one.weight.requires_grad_(False)",
    "self.three = nn.Conv2d(4, 4, 3, padding=1); self.three.weight = self.two.weight",
    "self.again = self.two",
    "nn.utils.parametrizations.weight_norm(self.two)",
    "nn.utils.parametrizations.orthogonal(self.head)",
    "nn.utils.spectral_norm(self.two)",
    "self.two.register_forward_hook(lambda module, given, output: output * 2)",
    "self.head.register_forward_pre_hook(lambda module, given: (given[0] + 1,))",
    "self.others = [nn.Linear(4, 4)]",
    "self.lazy = nn.LazyConv2d(4, 1)",
    "self.rate = float(np.random.rand())",
    "self.factor = torch.rand(()).item()",
    "self.chance = random.random()",
    "self.count = 0",
    "self.norm.eval()",
    "self.norm.momentum = None",
    "self.drawn = torch.Generator().manual_seed(3)",
    "self.apply_to = lambda x: x + 1",
    "self.lock = threading.Lock()",
    "self.table = {'a': torch.ones(2), 'b': [torch.zeros(1)]}",
    "self.double()",
    "self.norm = nn.GroupNorm(2, 4)",
    "self.register_parameter('nothing', None)",
    "self.two.weight.data = self.two.weight.data.contiguous(memory_format=torch.channels_last)",
    "self.me = self",
    "undefined_name",
    "raise ValueError('no')",
    "assert channels == 3",
    "sys.exit(2)",
)
"""Statements of a constructor."""
DONE = (
    "x = x * getattr(self, 'extra', 2)",
    "x = x + getattr(self, 'kept', torch.zeros(4)).view(4, 1, 1)",
    "x = x * getattr(self, 'factor', 0.5) + getattr(self, 'rate', 1)",
    "x = self.three(x) if hasattr(self, 'three') else x",
    "x = self.again(x) if hasattr(self, 'again') else x",
    "x = self.lazy(x) if hasattr(self, 'lazy') else x",
    "x += 1",
    "x = x.view(x.size(0), -1).view(x.shape)",
    "x = x[:, [2, 0, 1, 3]]",
    "x = x + torch.randn_like(x)",
    "x = x + torch.randn(1, generator=getattr(self, 'drawn', None))",
    "self.count = getattr(self, 'count', 0) + 1; x = x * (1 + self.count % 2)",
    "x = F.dropout(x, 0.5)",
    "x = F.dropout(x, 0.5, self.training)",
    "x = x.detach()",
    "x = x.double()",
    "x = x.half().float()",
    "x = torch.from_numpy(x.detach().numpy()) + 0 * x",
    "x = x - x.mean(0, keepdim=True)",
    "x = torch.cat([x, x])[: len(x)]",
    "x = x.reshape(16, 4, 8, 8)",
    "x = x.permute(0, 1, 3, 2)",
    "x = torch.where(x > 0, x, 0.0).sort(2).values",
    "x = self.head.weight.sum() * x",
    "x = x if len(x) > 1 else x * 2",
    "assert x.is_contiguous()",
    "x = x / 0",
    "x = x.nothing",
    "self.forward(x)",
    "self.seen = x",
    "self.norm.weight.data.mul_(0.9)",
)
"""Statements of a forward pass."""
RESULTS = (
    *("out",) * 8,
    *("(out, x)", "{'out': out}", "out[:, :-1]", "out.mean()", "None", "[out, out]", "'text'", "out.long()"),
    *("out.softmax(1)", "out if self.training else out * 2", "(out, x) if self.training else out", "out[:1]"),
)


@st.composite
def programs(draw: st.DrawFn) -> str:
    """A user's file, with up to three statements more in the constructor and in the forward pass."""
    lines = [
        "".join(
            f"        {line}\n" for line in draw(st.lists(st.sampled_from(of), max_size=most, unique=True))
        )
        for of, most in ((MADE, 2), (DONE, 2))
    ]
    return BEGIN + lines[0] + MIDDLE + lines[1] + END.replace("RESULT", draw(st.sampled_from(RESULTS)))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    params = Data(name="digits", limit=32)
    return load(params, datasets.locate(params, tmp_path_factory.mktemp("w")))


@pytest.mark.long
@settings(max_examples=50)
@given(text=programs())
def test_any_network_is_right_or_refused(
    tmp_path_factory: pytest.TempPathFactory, digits: Dataset, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "networks"
    folder.mkdir(exist_ok=True)
    (folder / "net.py").write_text(text)
    name = f"{folder}/net.py:build"
    usercode.use(collect([name], folder))
    wanted: dict[str, Any] = {"model": {"name": name}, "teaches": False, "batches": [16], "onnx": ""}
    try:
        check(
            Tried(
                digits,
                torch.device("cpu"),
                0,
                folder / "t",
                wanted | {"layers": [], "fits": []},
            )
        )
        assert_kept(name, digits, folder / "kept")
    except SecateurError as error:
        assert error.title and error.detail, text
        assert "bug" not in str(error), text
    finally:
        usercode.use(None)


def assert_kept(name: str, data: Dataset, folder: Path) -> None:
    """What passed the check-up is after a checkpoint what it was before it: in evaluation and in training mode."""
    made, _ = create(
        Model(name=name), channels=data.channels, classes=data.classes, size=data.size, seed=0, task=data.task
    )
    folder.mkdir(exist_ok=True)
    checkpoint.save(made, folder)
    restored = checkpoint.load(folder, (name,))
    drawn = torch.rand(16, data.channels, *data.size, generator=torch.Generator().manual_seed(0))
    images = drawn.contiguous(memory_format=layout_of(made))
    for training in (False, True):
        answers = []
        for model in (made, restored):
            torch.manual_seed(1)
            model.train(training)
            with torch.no_grad():
                answers.append(model(images))
        first, second = ((a[0] if isinstance(a, tuple | list) else a) for a in answers)
        assert torch.equal(first, second)
    assert [p.requires_grad for p in made.parameters()] == [p.requires_grad for p in restored.parameters()]
