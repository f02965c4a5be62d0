"""What people's networks do: right, told, or refused in one message that names the line, before anything is trained."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import datasets
from engine.compute import usercode
from engine.compute.checkup.network import Tried, check
from engine.compute.data import Dataset, load
from engine.compute.models.resnet import CifarResNet
from engine.errors import SecateurError
from engine.params.preset import Data
from engine.sources import collect

NETS = """\
import sys
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, channels, classes, way):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3))
        self.norm = nn.BatchNorm1d(64)
        self.head, self.aux = nn.Linear(64, classes), nn.Linear(64, classes)
        self.way = way

    def features(self, x):
        return self.body(x).flatten(1)

    def forward(self, x):
        return getattr(self, self.way)(x)

    def plain(self, x):
        return self.head(self.features(x))

    def viewed(self, x):
        x = self.body(x)
        return self.head(x.view(x.size(0), -1))

    def auxiliary(self, x):
        x = self.features(x)
        return (self.head(x), self.aux(x)) if self.training else self.head(x)

    def normed(self, x):
        return self.head(self.norm(self.features(x)))

    def talking(self, x):
        print("a word")
        return self.plain(x)

    def across(self, x):
        x = self.features(x)
        return self.head(x - x.mean(0))

    def dropped(self, x):
        return self.head(nn.functional.dropout(self.features(x)))

    def shares(self, x):
        return self.plain(x).softmax(1)

    def always_two(self, x):
        return self.plain(x), self.aux(self.features(x))

    def dictionary(self, x):
        return {"features": x, "logits": self.plain(x)}

    def in_place(self, x):
        x.mul_(2)
        return self.plain(x)

    def mapped(self, x):
        return torch.vmap(lambda one: self.plain(one[None])[0])(x)

    def four(self, x):
        return self.head(self.body(x).reshape(4, -1))

    def one_output(self, x):
        return self.plain(x).mean(1)

    def endless(self, x):
        return self.plain(x) / 0

    def in_16_bits(self, x):
        return self.plain(x.half()).float()

    def missing(self, x):
        return self.head(self.features(x).nothing)

    def leaving(self, x):
        sys.exit(3)

    def nothing(self, x):
        self.plain(x)

    def only_trained(self, x):
        return self.plain(x).undefined if self.training else self.plain(x)

    def overwritten(self, x):
        x = self.features(x).exp()
        y = self.head(x)
        x.add_(1)
        return y


def build(channels, classes, size, way="plain", width=4):
    torch.empty(width)
    return Net(channels, classes, way)


def orthogonal(channels, classes, size):
    own = nn.utils.parametrizations.orthogonal(nn.Conv2d(channels, 8, 3))
    return nn.Sequential(own, nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(128, classes))


def other_classes(channels, classes, size):
    return Net(channels, classes + 1, "plain")


def other_channels(channels, classes, size):
    return Net(channels + 2, classes, "plain")


def mish(channels, classes, size):
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Mish(), nn.Flatten(), nn.Linear(144, classes))


def flat(channels, classes, size):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))


class Listed(Net):
    def __init__(self, channels, classes):
        super().__init__(channels, classes, "plain")
        self.more = [nn.Linear(4, 4)]


def listed(channels, classes, size):
    return Listed(channels, classes)


def closed(channels, classes, size):
    net, hidden = Net(channels, classes, "plain"), nn.Linear(64, 64)
    net.norm.hidden = {"of": lambda x: hidden(x)}
    return net


def by_default(channels, classes, size):
    net = Net(channels, classes, "plain")
    net.norm.hidden = lambda x, layer=nn.Linear(64, 64): layer(x)
    return net


class Watching(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def watch(self, module, inputs, output):
        pass


def watched(channels, classes, size):
    net = Net(channels, classes, "plain")
    net.norm.register_forward_hook(Watching(net).watch)
    return net


def sixteen_bits(channels, classes, size):
    return Net(channels, classes, "in_16_bits").half()


def parallel(channels, classes, size):
    return nn.DataParallel(Net(channels, classes, "plain"))


def traced(channels, classes, size):
    return torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(64, classes)))


def no_network(channels, classes, size):
    return [1, 2]


def failing(channels, classes, size):
    return {}["width"]
"""
Try = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    params = Data(name="digits", limit=65)
    return load(params, datasets.locate(params, tmp_path_factory.mktemp("w")))


@pytest.fixture
def tried(tmp_path: Path, digits: Dataset) -> Iterator[Try]:
    """Checks up a network of a user's file, by the function's name, or one built in."""
    (tmp_path / "nets.py").write_text(NETS)

    def run(name: str = "build", **wanted: Any) -> dict[str, Any]:
        model = {"name": name if name == "resnet20" else f"{tmp_path}/nets.py:{name}", "arguments": {}}
        model["arguments"] = wanted.pop("arguments", {})
        model["weights"] = wanted.pop("weights", "random")
        usercode.use(collect([] if name == "resnet20" else [str(model["name"])], tmp_path))
        basis = {"model": model, "teaches": False, "batches": [16], "onnx": ""}
        basis |= {"layers": [], "fits": []}
        return check(Tried(digits, torch.device("cpu"), 0, tmp_path / "templates", basis | wanted))

    yield run
    usercode.use(None)


def test_what_a_network_is_stands_in_a_line(tried: Try) -> None:
    found = tried("resnet20", batches=[20])
    assert found == {"name": "resnet20", "text": "1×8×8 → 10 classes, 272,186 parameters", "notes": []}


def test_weights_that_may_have_seen_what_scores_them_are_told(
    tried: Try, tmp_path: Path, digits: Dataset
) -> None:
    torch.save(CifarResNet(20, channels=1, classes=10).state_dict(), tmp_path / "best.pth")
    note = tried("resnet20", weights=str(tmp_path / "best.pth"))["notes"][0]
    splits = f"{len(digits.validation)} validation and {len(digits.test)} test images"
    assert note.startswith(f"the weights of best.pth may have been trained on the {splits}")


@pytest.mark.parametrize(
    ("way", "wanted", "told"),
    [
        ("talking", {}, []),
        ("viewed", {}, ["contiguous layout"]),
        ("auxiliary", {}, ["2 outputs: the first is trained"]),
        ("across", {}, ["depend on the other images"]),
        ("dropped", {}, ["other outputs for the same images every time"]),
        ("shares", {}, ["add up to 1"]),
        ("plain", {"batches": [64]}, ["one image of each epoch"]),
        ("normed", {"batches": [1, 20]}, ["norm have one value a channel"]),
    ],
)
def test_what_works_in_a_way_that_a_reader_should_know_is_told(
    tried: Try, way: str, wanted: dict[str, Any], told: list[str]
) -> None:
    notes = tried(arguments={"way": way}, **({"batches": [20]} | wanted))["notes"]
    assert len(notes) == len(told)
    assert all(words in note for words, note in zip(told, notes, strict=True))


@pytest.mark.parametrize(
    ("name", "where"), [("listed", "more"), ("closed", "norm.hidden"), ("by_default", "norm.hidden")]
)
def test_layers_that_torch_does_not_see_are_told(tried: Try, name: str, where: str) -> None:
    note = tried(name)["notes"][-1]
    assert f"layers in {where}, held by a plain list" in note and "nn.ModuleList" in note


def test_what_holds_the_network_around_it_has_no_layers_that_torch_does_not_see(tried: Try) -> None:
    assert not [note for note in tried("watched")["notes"] if "plain list" in note]


def line(text: str) -> str:
    """How the line of NETS that holds `text` is named."""
    return f"nets.py, line {next(n for n, of in enumerate(NETS.splitlines(), 1) if text in of)}"


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("always_two", "It gave 2 outputs"),
        ("dictionary", "return output['logits']"),
        ("in_place", line("x.mul_(2)")),
        ("four", line("reshape(4, -1)")),
        ("one_output", "a tensor of (1,)"),
        ("mapped", "calls layers within torch.vmap"),
        ("endless", "outputs that are not finite"),
        ("missing", line(".nothing)")),
        ("leaving", line("sys.exit(3)")),
        ("nothing", "a NoneType"),
        ("only_trained", line(".undefined")),
        ("overwritten", "when gradients are computed"),
        ("unknown", line("getattr(self")),
    ],
)
def test_what_can_t_be_trained_or_evaluated_is_refused_with_the_line(tried: Try, way: str, said: str) -> None:
    with pytest.raises(SecateurError) as refused:
        tried(arguments={"way": way})
    assert said in str(refused.value)
    assert "bug" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("build", {"width": -4}, "negative dimension"),
        ("build", {"depth": 3}, "depth"),
        ("build", {"width": "wide"}, line("torch.empty(width)")),
        ("resnet20", {"width": -4}, "resnet20 can't be built"),
        ("resnet20", {"depth": 3}, "depth"),
        ("other_classes", {}, "does not classify into 10 classes"),
        ("other_channels", {}, "3 channels"),
        ("no_network", {}, "It returned list"),
        ("parallel", {}, "It is a DataParallel"),
        ("traced", {}, "returns its network wrapped"),
        ("failing", {}, line('{}["width"]')),
        ("not_there", {}, "has no function not_there"),
        ("sixteen_bits", {}, "can't be trained in float16"),
    ],
)
def test_a_network_that_can_t_be_built_is_refused(
    tried: Try, name: str, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(SecateurError) as refused:
        tried(name, arguments=arguments)
    assert said in str(refused.value)
    assert "bug" not in str(refused.value)


@pytest.mark.parametrize("kind", ["prune.channels", "cluster.filters", "cluster.kernels", "sensitivity"])
def test_weights_that_own_code_computes_are_tried_plain_as_steps_make_them(tried: Try, kind: str) -> None:
    """ONNX has no operator for what makes a matrix orthogonal."""
    tried("orthogonal", fits=[[[], True, kind, {}]], onnx="trained")


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([("prune.weights", "skip", ["layer9"])], "prune.weights.skip names no layer: layer9"),
        ([("distill", "method.layers", ["head", "body.9"])], "distill.method.layers names no layer: body.9"),
        ([("distill", "method.layers", ["body.0", "head"])], "no layer head that gives one feature map"),
        ([("p", "skip", ["*"])], "p.skip leaves no layer"),
        ([("prune.blocks", "keep", ["body"])], "prune.blocks.keep names no block: body"),
    ],
)
def test_layers_that_steps_name_are_there(tried: Try, layers: list[Any], said: str) -> None:
    tried(layers=[("prune.weights", "skip", ["head", "Conv2d"]), ("distill", "method.layers", ["body.0"])])
    with pytest.raises(SecateurError) as refused:
        tried(layers=layers)
    assert said in str(refused.value)


def test_what_layers_leave_a_step_to_do_is_found_out(tried: Try) -> None:
    def asked(*given: tuple[str, dict[str, Any]]) -> list[Any]:
        return [[[], True, kind, values] for kind, values in given]

    tried(fits=asked(("prune.channels", {"speedup": 1.5}), ("cluster.kernels", {"entries": 1})))
    with pytest.raises(SecateurError, match=r"prune\.channels\.speedup 900 can't be reached: \d"):
        tried(fits=asked(("prune.channels", {"speedup": 900})))
    maps = {"method": {"kind": "attention"}}
    with pytest.raises(SecateurError, match="no feature maps"):
        tried("flat", fits=asked(("distill", maps)))
    tried("flat", fits=asked(("distill", maps | {"teacher": {"kind": "none"}})))


BEHIND = [
    (
        {"kind": "prune.channels", "id": "cut", "ratio": 0.8},
        "cluster.kernels",
        "entries",
        4,
        400,
        "no kernels",
    ),
    ({"kind": "prune.blocks", "count": 5}, "prune.blocks", "count", 2, 3, "2 blocks is the most"),
    ({"kind": "factorize"}, "cluster.filters", "skip", ["fc.0"], ["Linear", "Conv2d"], "leaves no layer"),
]


@pytest.mark.parametrize(("changed", "kind", "field", "fitting", "too_much", "said"), BEHIND)
def test_what_layers_leave_that_others_changed_is_found_out_too(
    tried: Try, changed: dict[str, Any], kind: str, field: str, fitting: Any, too_much: Any, said: str
) -> None:
    """In a note where it depends on weights that training makes."""

    def notes(sure: bool, value: Any) -> list[str]:
        found = tried("resnet20", batches=[20], fits=[[[changed], sure, kind, {field: value}]])
        return [note for note in found["notes"] if note.startswith(f"{kind} may be refused")]

    assert not notes(True, fitting)
    with pytest.raises(SecateurError) as refused:
        notes(True, too_much)
    told = f"layers behind {changed.get('id', changed['kind'])}."
    assert said in str(refused.value) and told in str(refused.value)
    (note,) = notes(False, too_much)
    assert said in note and told in note


def test_what_has_no_fake_quantization_is_refused_before_it_is_trained(tried: Try) -> None:
    with pytest.raises(SecateurError, match="Mish cannot be trained with fake quantization"):
        tried("mish", onnx="trained")
    assert tried("mish", onnx="must")
    assert tried(onnx="trained")
