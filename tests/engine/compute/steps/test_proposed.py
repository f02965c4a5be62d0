"""What a table proposes is the network that one gets: its steps make it, to the weight."""

import copy
from functools import cache
from typing import Any

import pytest
import torch
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from engine.compute.context import Context
from engine.compute.layers.grids import grids
from engine.compute.measures.counts import count
from engine.compute.models.sizes import of_model
from engine.compute.steps.apply import apply
from engine.params import STEPS
from engine.params.pruning import PruneWeights
from engine.params.sensitivity import Sensitivity
from engine.search.proposals import EXACT, QUALITY, Proposal, Table
from tests.engine.compute.compute_help import context_for
from tests.engine.compute.steps.channels import channels_help as networks

MAKERS = {
    "residual": lambda: networks.network("resnet8", networks.SIZE, width=8),
    "depthwise and gates": lambda: networks.own(networks.mobile),
    "grouped": lambda: networks.own(networks.Grouped),
    "concat": lambda: networks.own(networks.Dense),
    "shuffled": lambda: networks.own(networks.Shuffled),
    "transformer": lambda: networks.own(networks.vit),
}
SPARSE = "sparse"
ABSENT = {("rank", "grouped"), ("channels", SPARSE)}
"""No layer can be split, or zeros go with channels."""
CHEAP = {"repair": False, "calibrate": False}
MARGIN, AROUND = 0.25, 1024
"""Bytes are estimated. Here they are few thousand, of which many stand around tensors; of ResNet20 they are told to
some percent."""


@cache
def network(name: str) -> nn.Module:
    """Weights of which none is zero: which of them go with channels would decide how many are left."""
    model = MAKERS[name]()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    return model


@cache
def sparse() -> nn.Module:
    """One that lost half of its weights, most of them in a few layers."""
    return apply(PruneWeights(sparsity=0.5), copy.deepcopy(network("residual")), context())


@cache
def table(name: str, of: Any) -> Table:
    params = Sensitivity(of=of, rates=(0.3, 0.6, 0.9), images=8, calibrate=False)
    measured = context()
    apply(params, copy.deepcopy(sparse() if name == SPARSE else network(name)), measured)
    return Table(measured.observations["sensitivity"])


def context() -> Context:
    return context_for(data=networks.digits())


def made(proposal: Proposal, name: str) -> nn.Module:
    """What the steps make of the network, as a preset's YAML gives them back."""
    model = copy.deepcopy(sparse() if name == SPARSE else network(name))
    for step in proposal.steps:
        ((kind, values),) = yaml.safe_load(yaml.safe_dump(step)).items()
        known = {one: value for one, value in CHEAP.items() if one in STEPS[kind].model_fields}
        model = apply(STEPS[kind].model_validate(values | known), model, context())
    return model


@pytest.mark.parametrize("of", ["weights", "channels", "rank"])
@settings(max_examples=8)
@given(
    name=st.sampled_from([*MAKERS, SPARSE]),
    least=st.sampled_from([*3 * [QUALITY], "macs", "parameters", "size.packed"]),
    measure=st.sampled_from(EXACT),
    share=st.floats(0.1, 1.0),
)
def test_a_proposals_steps_make_the_network_that_was_told(
    of: str, name: str, least: str, measure: str, share: float
) -> None:
    assume((of, name) not in ABSENT)
    found = table(name, of)
    limit = share * found.before[measure]
    proposal = found.propose(least, {measure: limit})
    assume(proposal is not None)
    assert proposal is not None and measure in proposal.held
    model = made(proposal, name)
    got = count(model, (3, networks.SIZE, networks.SIZE))
    assert {"parameters": got.nonzero, "macs": got.effective_macs} == {
        one: round(proposal.amounts[one]) for one in EXACT
    }
    assert proposal.amounts[measure] <= limit * (1 + 1e-9)
    assert of_model(model)["packed"] == pytest.approx(proposal.amounts["size.packed"], rel=MARGIN, abs=AROUND)


@settings(max_examples=4)
@given(name=st.sampled_from([*MAKERS]), share=st.floats(0.1, 0.3))
def test_layers_get_the_bits_that_were_told(name: str, share: float) -> None:
    found = table(name, "bits")
    proposal = found.propose(QUALITY, {"size.packed": share * found.before["size.packed"]})
    assume(proposal is not None)
    assert proposal is not None and proposal.held == []
    model = made(proposal, name)
    told = {f"{layer}.weight": round(32 * (1 - rate)) for layer, rate in proposal.levels.items() if rate}
    assert {layer: grid.form.bits for layer, grid in grids(model).items()} == told
    assert of_model(model)["packed"] == pytest.approx(proposal.amounts["size.packed"], rel=MARGIN, abs=AROUND)
