"""Proposals from a table, and a search's first candidates by them."""

from itertools import pairwise
from typing import Any

import pytest
import yaml

from engine.errors import UsageError
from engine.presets.spec import parse
from engine.search import first
from engine.search.proposals import QUALITY, Table
from engine.search.rounds import search
from engine.search.task import Task
from engine.search.widths import WIDTHS, Widths

LAYERS = {"tough": (600, 0.001), "usual": (300, 0.01), "frail": (100, 0.1)}
"""Weights of each layer, and the accuracy that it loses with nine tenths of them gone."""
PRESET = """\
model: {name: resnet20}
data: {name: digits}
steps:
  - train: {epochs: 1}
  - sensitivity: {of: weights}
search:
  smallest: size.packed
  within: {accuracy: -1 point}
  budget: {trials: 16}
  over:
    - prune.weights: {sparsity: 0.1..0.95, criterion: [l1, taylor], enabled: [true, false]}
    - finetune: {epochs: 1..2}
"""


def scanned(of: str = "weights") -> dict[str, Any]:
    reference = {"validation_accuracy": 0.9, "parameters": 1000, "macs": 10_000.0, "size.packed": 4000}
    rows = []
    for layer, (weights, lost) in LAYERS.items():
        for rate in (0.3, 0.6, 0.9):
            left = 1000 - rate * weights
            accuracy = 0.9 - lost * (rate / 0.9) ** 2
            amounts = {"parameters": left, "macs": 10 * left, "size.packed": 4 * left}
            rows.append({"layer": layer, "rate": rate, "validation_accuracy": accuracy, **amounts})
    return {"of": of, "reference": reference, "rows": rows}


def test_the_smallest_within_a_loss_spares_the_frail() -> None:
    proposal = Table(scanned()).propose("size.packed", {QUALITY: 0.005})
    assert proposal is not None and proposal.loss <= 0.005
    assert proposal.levels["tough"] == 0.9 > proposal.levels["usual"] > proposal.levels["frail"]
    gone = sum(LAYERS[layer][0] * rate for layer, rate in proposal.levels.items())
    assert proposal.amounts["parameters"] == pytest.approx(1000 - gone)
    ((kind, params),) = proposal.steps[0].items()
    assert kind == "prune.weights"
    assert params["layers"] == {layer: rate for layer, rate in proposal.levels.items() if rate}


def test_the_least_loss_within_a_size_and_what_cannot_be() -> None:
    table = Table(scanned())
    proposal = table.propose(QUALITY, {"size.packed": 2000})
    assert proposal is not None and proposal.amounts["size.packed"] <= 2000
    wider = table.propose(QUALITY, {"size.packed": 3000})
    assert wider is not None and wider.loss < proposal.loss
    assert table.propose(QUALITY, {"size.packed": 200}) is None
    assert table.propose("macs", {QUALITY: 0.001, "size.packed": 1500}) is None
    with pytest.raises(UsageError, match=r"tells nothing of latency\.torch\.1"):
        table.propose(QUALITY, {"latency.torch.1": 1.0})


def test_a_network_loses_no_more_than_it_has() -> None:
    found = scanned()
    for row in found["rows"]:
        row["validation_accuracy"] = 0.9 - 0.8 * row["rate"]
    proposal = Table(found).propose(QUALITY, {"parameters": 150})
    assert proposal is not None and proposal.loss == 0.9


def test_a_preset_is_sure_to_hold_what_can_be_counted() -> None:
    asked = {"macs": 5000.0, "parameters": 600.0, "size.packed": 3000.0}
    for of in ("weights", "rank"):
        proposal = Table(scanned(of)).propose(QUALITY, asked)
        assert proposal is not None and proposal.held == ["parameters", "macs"]
    of_bits = Table(scanned("bits")).propose(QUALITY, asked)
    assert of_bits is not None and of_bits.held == []


def test_the_less_deviating_network_is_proposed_whatever_few_images_say() -> None:
    """What a layer loses of its quality on few images is mostly chance; the outputs' deviation is not."""
    found = scanned()
    for row in found["rows"]:
        row["loss_increase"] = 0.0
        row["validation_accuracy"] = 0.9
        row["deviation"] = (10.0 if row["layer"] == "tough" else 0.1) * row["rate"] ** 2
    proposal = Table(found).propose(QUALITY, {"parameters": 800.0})
    assert proposal is not None and proposal.loss == 0.0
    assert proposal.levels["tough"] < 0.1 < proposal.levels["usual"]


def test_of_channels_the_shares_left_multiply() -> None:
    proposal = Table(scanned("channels")).propose("macs", {QUALITY: 1.0})
    assert proposal is not None and set(proposal.levels.values()) == {0.9}
    assert proposal.amounts["macs"] == pytest.approx(10_000 * (1 - 0.54) * (1 - 0.27) * (1 - 0.09))


def test_of_channels_the_limits_hold_by_exact_counts_of_milliseconds_and_macs() -> None:
    """A chain of layers: what two neighbours save is no sum, and no product either."""
    units, name = dict.fromkeys("abcdef", 20), "latency.onnxruntime.1"
    config = {"kind": "conv", "inputs": 20, "outputs": 20, "groups": 1}
    grid = {"inputs": [0, 20], "outputs": [0, 20], "values": [[0.0, 0.0], [0.0, 0.2]]}
    layers = [{"layer": config, "in": [[20, [a]]], "out": [[20, [b]]]} for a, b in pairwise(units)]
    widths = {
        "units": units,
        "axes": [[[20, [one]]] for one in units],
        "terms": [[1.0, 1.0, [at, at + 1]] for at in range(5)],
        "fixed": [0.0, 0.0],
        "layers": layers,
    }
    times = {"name": name, "fixed": 0.1, "factor": 1.0, "kinds": [{"layer": config, **grid}]}
    reference = {"validation_accuracy": 0.9, "parameters": 2000, "macs": 2000, name: 1.1}
    count = Widths(widths, times)
    rows = [
        {
            "layer": one,
            "rate": rate,
            "validation_accuracy": 0.9 - 0.1 * rate**2,
            **count.amounts({one: round(20 * (1 - rate))}),
        }
        for one in units
        for rate in (0.25, 0.5, 0.75)
    ]
    table = Table({"of": "channels", "reference": reference, "rows": rows, WIDTHS: widths, "times": times})
    for limits in ({name: 0.6}, {"macs": 700.0}, {name: 0.7, "macs": 800.0}):
        proposal = table.propose(QUALITY, limits)
        assert proposal is not None
        left = {one: 20 - round(20 * rate) for one, rate in proposal.levels.items()}
        assert {key: proposal.amounts[key] for key in limits} == pytest.approx(
            {key: count.amounts(left)[key] for key in limits}
        )
        assert all(
            0.85 * limit < proposal.amounts[key] <= limit for key, limit in limits.items() if len(limits) == 1
        )
        assert all(proposal.amounts[key] <= limit for key, limit in limits.items())
        ((kind, given),) = proposal.steps[0].items()
        assert kind == "prune.channels" and ("latency" in given) == (name in limits)
    fastest = table.propose(name, {QUALITY: 0.05})
    assert fastest is not None and fastest.amounts[name] < 1.1 and fastest.loss <= 0.05
    assert fastest.steps[0]["prune.channels"].keys() == {"layers"}, "no milliseconds have to be held"
    assert table.propose(QUALITY, {name: 0.1}) is None, "what no layer takes is always there"
    assert fastest.held == ["parameters", "macs"]
    with_zeros = {
        "of": "channels",
        "reference": reference | {"parameters": 1500},
        "rows": rows,
        WIDTHS: widths,
    }
    sparse = Table(with_zeros).propose("macs", {QUALITY: 0.05})
    assert sparse is not None and sparse.held == ["macs"], "which zeros go with channels is not known"


def test_the_first_candidates_lose_what_may_be_lost() -> None:
    task, table = Task.of(parse(PRESET, "p")), Table(scanned())
    points = first.points(task, [table])
    allowed = [times * task.allowed for times in first.TIMES]
    for point, loss in zip(points, allowed, strict=True):
        proposal = table.propose("parameters", {QUALITY: loss})
        assert proposal is not None
        share = 1 - proposal.amounts["parameters"] / 1000
        assert point["prune.weights.sparsity"] == pytest.approx(share, rel=0.01)
    round_ = search(task, [], 0, [table])
    assert round_ is not None
    proposed = [entry.point["prune.weights.sparsity"] for entry in round_.entries[:4] if entry.point]
    assert proposed == [point["prune.weights.sparsity"] for point in points]
    assert search(task, [], 0, [table]) == round_, "the same of the same"
    assert first.points(task, []) == [] == first.points(task, [Table(scanned("channels"))])


def test_every_table_says_which_step_makes_its_networks() -> None:
    made = {}
    for of in ("weights", "channels", "bits", "rank"):
        table = Table(scanned(of) | {"scheme": "channel"})
        proposal = table.propose("size.packed", {QUALITY: 0.02})
        assert proposal is not None
        steps = [{kind: params} for step in proposal.steps for kind, params in step.items()]
        before = [{"train": {"epochs": 1}}, {"sensitivity": {"of": of}}]
        document = {"model": {"name": "resnet20"}, "data": {"name": "digits"}, "steps": [*before, *steps]}
        found = parse(yaml.safe_dump(document), "p")
        made[of] = found.trials[0].steps[2]
        nothing = table.propose(QUALITY, {"size.packed": 4000})
        assert nothing is not None and nothing.steps == []
    assert all(step.named for step in made.values())
    by_gradients = Table(scanned() | {"criterion": "taylor"}).propose(QUALITY, {"parameters": 500.0})
    assert by_gradients is not None and by_gradients.steps[0]["prune.weights"]["criterion"] == "taylor"
    assert [step.kind for step in made.values()] == [
        "prune.weights",
        "prune.channels",
        "quantize.weights",
        "factorize",
    ]
