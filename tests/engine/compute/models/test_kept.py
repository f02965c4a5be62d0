"""A network is what the user's code builds, in every job: kept exactly, or refused before anything is trained."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from engine import datasets
from engine.compute import usercode
from engine.compute.layers.masks import folded, set_mask
from engine.compute.measures.counts import count
from engine.compute.models import checkpoint, tensors
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.models.int8 import torch_part
from engine.compute.models.keepable import assert_copyable, assert_keepable
from engine.compute.models.sizes import of_model
from engine.compute.pretrained.create import create
from engine.compute.steps.apply import apply
from engine.compute.stopping import Stopping
from engine.compute.worker import steps
from engine.errors import SecateurError
from engine.params import (
    ClusterFilters,
    ClusterKernels,
    ClusterWeights,
    Factorize,
    Finetune,
    PruneWeights,
    QuantizeHalf,
    QuantizeWeights,
    Step,
)
from engine.params.clustering import Shared
from engine.params.factorization import Energy
from engine.params.preset import Model
from engine.params.quantize_weights import Nearest
from engine.presets import spec
from engine.runner.executors.choose import machine
from engine.sources import collect
from engine.store.objects import Store
from engine.studies import events as ev
from engine.studies.job import request
from engine.studies.plan import Plan, data_id, make
from engine.studies.rundir import RunDir
from tests.engine.compute.compute_help import context_for
from tests.study_lab import share_templates

HERE = Path(__file__).with_name("peculiar.py")
KEPT = (
    "frozen",
    "drawn",
    "generating",
    "loose",
    "changing",
    "tied",
    "lazy",
    "evaluated",
    "swapped",
    "normalized",
    "parametrized",
)
TRAINED = """
  - train: {epochs: 1, batch: 20, learning_rate: 0.05}"""
FEW = """
  - prune.weights: {sparsity: 0.3}
  - finetune: {epochs: 1, batch: 20}
  - factorize
  - cluster.weights: {centroids: 16}"""
PIPELINES = {
    "pruning": """
  - sensitivity: {rates: [0.5], images: 20}
  - prune.weights: {sparsity: 0.3}
  - prune.channels: {ratio: 0.25}
  - calibrate
  - distill: {epochs: 1, batch: 20}
  - quantize.static""",
    "sharing": """
  - cluster.filters: {method: merged, ratio: 0.25, restarts: 1}
  - cluster.filters: {id: shared, method: shared, ratio: 0.25, restarts: 1}
  - finetune: {epochs: 1, batch: 20}
  - quantize.dynamic""",
    "kernels": """
  - cluster.kernels: {entries: 4, restarts: 1}
  - finetune: {epochs: 1, batch: 20}
  - quantize.qat: {epochs: 1, batch: 20, images: 20}""",
    "rounding": """
  - quantize.weights: {bits: 4}
  - finetune: {epochs: 1, batch: 20}""",
}


@pytest.fixture(autouse=True, scope="module")
def _code() -> Iterator[None]:
    """The code is read once, as by a study; without a record of it, it is anew for each network that is built."""
    usercode.use(collect([f"{HERE}:plain"], HERE.parent))
    yield
    usercode.use(None)


def network(name: str) -> nn.Module:
    model, _ = create(Model(name=f"{HERE}:{name}"), channels=1, classes=10, size=(8, 8), seed=3)
    return model


def images() -> torch.Tensor:
    return torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", KEPT)
def test_what_a_constructor_sets_up_is_kept(name: str) -> None:
    assert_keepable(network(name), images())


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("unseeded", "builds another network"),
        ("derived", "twice is computed from parameters"),
        ("viewing", r"b\.weight and c\.weight share memory"),
        ("remembering", "last is not what its constructor makes"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_its_name(name: str, named: str) -> None:
    with pytest.raises(SecateurError, match=named) as caught:
        assert_keepable(network(name), images())
    assert caught.value.remedy


def plan(model: str, pipeline: str) -> Plan:
    text = f"""
seed: 0
threads: 1
device: cpu
model: {{name: "{HERE}:{model}"}}
data: {{name: digits, limit: 100}}
steps:{TRAINED}{pipeline}
"""
    read = spec.parse(text, "p", ())
    data = read.settings.data
    known = datasets.fingerprint(data, datasets.locate(data, HERE.parent), None)
    assert known is not None
    return make(read, {data_id(trial): known for trial in read.trials}, machine(read.settings))


def computed(planned: Plan, folder: Path, cuts: Sequence[int]) -> dict[str, str]:
    """The hash of every file of models and predictions, when the study's job ends at each of `cuts` and begins anew."""
    job, store = next(job for job in planned.jobs if not job.exclusive), Store(folder / "store")
    share_templates(store)
    for start, end in pairwise((0, *cuts, len(job.nodes))):
        part = replace(job, nodes=job.nodes[start:end])
        wanted = request(part, planned, RunDir.of(folder, "p-1"), store, None)
        steps.run(wanted, lambda event: None, Stopping())
    files = [f for f in (folder / "store" / "objects").rglob("*") if f.is_file() and f.name != "object.json"]
    assert files
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.mark.parametrize(
    ("model", "pipeline"),
    [*((name, FEW) for name in KEPT), *(("plain", steps) for steps in PIPELINES.values())],
    ids=[*KEPT, *PIPELINES],
)
def test_one_key_has_one_result_however_jobs_are_cut(model: str, pipeline: str, tmp_path: Path) -> None:
    planned = plan(model, pipeline)
    everywhere = range(1, sum(len(job.nodes) for job in planned.jobs))
    assert computed(planned, tmp_path / "one", ()) == computed(planned, tmp_path / "cut", everywhere)


def test_a_frozen_layer_that_is_skipped_is_what_it_was_after_every_step(tmp_path: Path) -> None:
    planned = plan(
        "frozen",
        """
  - prune.weights: {sparsity: 0.3, skip: [a]}
  - prune.channels: {ratio: 0.25, skip: [a], calibrate: false}
  - finetune: {epochs: 1, batch: 20}
  - quantize.qat: {epochs: 1, batch: 20, images: 20}""",
    )
    computed(planned, tmp_path, ())
    name = f"{HERE}:frozen"
    before = build(Architecture(name, 1, 10, (8, 8))).get_parameter("a.weight")
    for node in planned.trials[0].steps:
        (folder,) = (tmp_path / "store" / "objects").rglob(f"{node.key}*")
        after = torch_part(checkpoint.load(folder, [name]))
        assert tensors.frozen(after) == ["a.weight"]
        assert torch.equal(after.get_parameter("a.weight"), before)


@pytest.mark.parametrize(
    "step",
    [
        PruneWeights(sparsity=0.5),
        ClusterWeights(centroids=4),
        ClusterKernels(entries=4, restarts=1, calibrate=False),
        QuantizeWeights(rounding=Nearest(), calibrate=False),
    ],
    ids=["prune.weights", "cluster.weights", "cluster.kernels", "quantize.weights"],
)
@pytest.mark.parametrize("name", ["frozen", "tied"])
def test_a_network_whose_overlays_became_plain_is_kept_too(name: str, step: Step, tmp_path: Path) -> None:
    """That is what is exported: `save` compares what loads back."""
    model = network(name)
    model.get_submodule("a").requires_grad_(False)
    model = folded(apply(step, model, context_for()).eval())
    assert set(tensors.frozen(checkpoint.save(model, tmp_path))) == {"a.weight", "a.bias"}


def test_tied_weights_stay_one_and_count_once(tmp_path: Path) -> None:
    model = network("tied").eval()
    set_mask(model.get_submodule("a"), torch.rand(8, 1, 3, 3) > 0.5)
    checkpoint.save(model, tmp_path)
    again = checkpoint.load(tmp_path, [f"{HERE}:tied"])
    assert again.get_submodule("d").weight is again.get_submodule("c").weight
    assert tensors.ties(again) == tensors.ties(model) == [["c.weight", "d.weight"]]
    own = sum(parameter.numel() for parameter in model.parameters())
    assert count(again, (1, 8, 8)).parameters == own
    whole = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    for layout in (torch.contiguous_format, torch.channels_last):
        assert of_model(again.to(memory_format=layout))["plain"] < whole


@pytest.mark.parametrize(
    ("step", "named"),
    [
        (Factorize(rank=Energy(energy=1.0), calibrate=False), ("a (Standardized", "b (Padded")),
        (PruneWeights(sparsity=0.0), ("a (Standardized",)),
        (ClusterWeights(centroids=256, skip=("fc",)), ("a (Standardized",)),
    ],
    ids=["factorize", "prune.weights", "cluster.weights"],
)
def test_what_a_layer_computes_by_a_forward_of_its_own_stays(step: Step, named: tuple[str, ...]) -> None:
    """At full rank, ratio 0 and with as many values as it takes, and the user is told which layers are left alone."""
    events: list[ev.Event] = []
    model = network("own_forwards").eval()
    before = model(images())
    after = apply(step, model, context_for(events=events)).eval()
    told = " ".join(event.text for event in events if isinstance(event, ev.Notice))
    assert "Left alone" in told and all(name in told for name in named)
    torch.testing.assert_close(after(images()), before, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    "step",
    [
        Factorize(rank=Energy(energy=0.5)),
        ClusterFilters(method=Shared(), ratio=0.25, restarts=1),
        QuantizeHalf(),
    ],
    ids=["factorize", "cluster.filters", "quantize.half"],
)
def test_a_layer_whose_weight_the_network_reads_by_itself_stays(step: Step) -> None:
    events: list[ev.Event] = []
    context = context_for(events=events)
    after = apply(Finetune(epochs=1), apply(step, network("reading"), context), context)
    assert after(images()).shape == (4, 10)
    if not isinstance(step, QuantizeHalf):
        told = " ".join(event.text for event in events if isinstance(event, ev.Notice))
        assert "b (its out_channels, weight read by the network itself)" in told.replace(" and ", ", ")
        # What takes its place has this size too where filters are shared, and is no convolution in a chain.
        assert ("a (its kernel_size read" in told) == isinstance(step, Factorize)


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_part_is_refused_as_that() -> None:
    for part, made in (
        (torch.jit.script(nn.ReLU()), "torch.jit"),
        (torch.compile(nn.ReLU()), "torch.compile"),
    ):
        with pytest.raises(SecateurError, match=rf"1 was compiled by {made}"):
            assert_copyable(nn.Sequential(nn.Linear(2, 2), part))
