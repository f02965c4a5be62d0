"""Weights as programs leave them."""

from pathlib import Path

from benchmarks.cases.base import Case, Said, Write, learned, preset, python

TRAINED = """
import torch, numpy as np, argparse
from torch.nn import functional
from engine.compute.models.resnet import CifarResNet
exec(open("data.py").read())
torch.manual_seed(0)
net = CifarResNet(8, channels=1, classes=4, width=8)
x, y = map(torch.from_numpy, make(320, 0))
x = x.float() / 255
x = (x - x.mean()) / x.std()
step = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
for epoch in range(6):
    for part in torch.randperm(320).split(32):
        step.zero_grad(); functional.cross_entropy(net(x[part]), y[part]).backward(); step.step()
net.eval()
state = net.state_dict()
"""
ONLY_CHECKED = "steps:\n  - prune.weights: {sparsity: 0}\n"


def saved(line: str) -> Write:
    def write(folder: Path) -> str:
        python(folder, TRAINED + line)
        return preset("{weights: w.pth}", ONLY_CHECKED)

    return write


def _masks(said: Said) -> str:
    wrong = learned(said)
    return wrong or ("" if "masks are kept" in said.messages else "the masks are not told")


def _message(said: Said) -> str:
    return learned(said) or ("" if "criterion" in said.messages else "what was left out is not told")


def _warned(said: Said) -> str:
    loud = any(word in said.messages for word in ("preprocess", "normali", "mean"))
    return "" if loud else "weights came without their preprocessing, and nothing was said"


PRUNED = """
from torch.nn.utils import prune
for module in net.modules():
    if isinstance(module, torch.nn.Conv2d): prune.l1_unstructured(module, "weight", 0.3)
torch.save(net.state_dict(), "w.pth")
"""
LIGHTNING = """
parts = {"model." + n: t for n, t in state.items()} | {"teacher." + n: t + 1 for n, t in state.items()}
torch.save({"state_dict": parts | {"criterion.weight": torch.ones(4)}, "hyper_parameters": {}}, "w.pth")
"""
SCALARS = """
beside = {"best": np.float64(91.2), "epoch": np.int64(7), "args": argparse.Namespace(lr=0.1)}
torch.save({"model": state} | beside, "w.pth")
"""
OTHER = 'torch.save(state, "w.pth")'
HEADLESS = """
from torch import nn
class Net(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.head = nn.Linear(4 * 8, classes)
        self.one, self.pool = nn.Conv2d(channels, 8, 3, padding=1), nn.AdaptiveAvgPool2d(2)
        self.aside = nn.Linear(32, 32)
    def forward(self, x):
        x = self.pool(self.one(x).relu()).flatten(1)
        return self.head(x + self.aside(x))
def build(channels, classes):
    return Net(channels, classes)
"""


def _own_head(folder: Path) -> str:
    (folder / "net.py").write_text(HEADLESS)
    python(
        folder, "import torch, net\ntorch.manual_seed(0)\ntorch.save(net.build(1, 9).state_dict(), 'w.pth')"
    )
    return preset(
        "{name: net.py:build, weights: w.pth}",
        "steps:\n  - finetune: {epochs: 12, batch: 32, learning_rate: 0.05}\n",
    )


def _head(said: Said) -> str:
    return learned(said) or ("" if "(head)" in said.messages else "which layer starts at random is not told")


WEIGHTS = (
    Case("B06", "one's own head, not the last one registered, for other classes", _own_head, _head),
    Case("B16", "a state_dict of torch.nn.utils.prune", saved(PRUNED), _masks),
    Case("B17", "a Lightning file with criterion and teacher", saved(LIGHTNING), _message),
    Case("B18", "a pickle with NumPy's scalars", saved(SCALARS)),
    Case("B19", "weights without the preprocessing they were trained with", saved(OTHER), _warned),
)
