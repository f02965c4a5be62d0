"""Training on a GPU: the same bits again, whatever happens on the way, and what runs out or can't be."""

import multiprocessing
import random
import threading
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn

from engine.compute.context import Context
from engine.compute.data import Split, on_gpu
from engine.compute.data.images import Pixels
from engine.compute.models.tensors import saved
from engine.compute.numerics.group import Group
from engine.compute.training import resume
from engine.compute.training.loop import fit
from engine.compute.worker.explain import explain
from engine.compute.worker.setup import settle, tell_warnings
from engine.compute.worker.together import join
from engine.errors import SecateurError
from engine.params.training import Train
from engine.studies import events as ev
from tests.engine.compute.compute_help import (
    Interrupted,
    context_for,
    digits,
    small_model,
    stop_in_third_epoch,
)

EXECUTIONS = ("eager", "graphs", "compile")
CUDA = torch.device("cuda")


def on_card(**changes: Any) -> Context:
    context = context_for(**changes)
    context.device = CUDA
    return context


def params(**changes: Any) -> Train:
    given = {"epochs": 2, "batch": 64, "learning_rate": 0.05, "augment": "crop-flip"} | changes
    return Train(**given)


def bits(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in saved(model).items()}


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def furthest(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    return max(float((one[name].double() - two[name].double()).abs().max()) for name in one)


def with_dropout(width: int = 8, depth: int = 8) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(small_model(width=width, depth=depth), nn.Dropout(0.3))


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_the_same_seed_gives_the_same_bits(execution: str, precision: str) -> None:
    told = params(execution=execution, precision=precision)
    one, two = (bits(fit(with_dropout(), told, on_card())) for _ in range(2))
    assert same(one, two), furthest(one, two)


@pytest.mark.parametrize(
    ("execution", "precision"), [(how, "bf16") for how in EXECUTIONS] + [("graphs", "tf32")]
)
def test_an_interrupted_training_goes_on_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, execution: str, precision: str
) -> None:
    told = params(epochs=4, execution=execution, precision=precision, keep="best")
    undisturbed = bits(fit(with_dropout(), told, on_card()))
    monkeypatch.setattr(resume, "EVERY_S", 0.0)
    context = on_card(partial=tmp_path / "partial")
    stop_in_third_epoch(context)
    with pytest.raises(Interrupted):
        fit(with_dropout(), told, context)
    again = bits(fit(with_dropout(), told, on_card(partial=tmp_path / "partial")))
    assert same(again, undisturbed), furthest(again, undisturbed)


def test_a_graph_computes_what_eager_execution_does() -> None:
    one, two = (
        bits(fit(small_model(depth=20), params(execution=how), on_card())) for how in ("eager", "graphs")
    )
    assert furthest(one, two) < 1e-5, "the same kernels in the same order"


def test_a_graph_is_recorded_while_another_thread_pins_memory() -> None:
    """As a DataLoader's does, for images that are decoded by processes."""
    expected = bits(fit(small_model(depth=20), params(execution="graphs"), on_card()))
    over = threading.Event()

    def pin() -> None:
        size = 1
        while not over.is_set():
            size = size % 4096 + 1
            torch.empty(size * 4096, dtype=torch.uint8).pin_memory()

    beside = threading.Thread(target=pin)
    beside.start()
    try:
        found = bits(fit(small_model(depth=20), params(execution="graphs"), on_card()))
    finally:
        over.set()
        beside.join()
    assert same(found, expected), furthest(found, expected)


def test_compiled_and_lower_precisions_come_near_to_full_ones() -> None:
    exact = bits(fit(small_model(depth=20), params(epochs=1), context_for()))
    for changes, near in (({}, 1e-2), ({"execution": "compile"}, 1e-2), ({"precision": "tf32"}, 0.1)):
        found = bits(fit(small_model(depth=20), params(epochs=1, **changes), on_card()))
        assert furthest(found, exact) < near, changes
    assert not torch.backends.cuda.matmul.allow_tf32, "it holds for the step alone"
    assert not torch.backends.cudnn.allow_tf32


def test_images_are_the_same_held_on_the_gpu_and_sent_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def batches(device: torch.device) -> list[tuple[Tensor, Tensor]]:
        data = digits()
        found = data.batches(
            Split(Pixels(data.train.images.gather(torch.arange(200))), data.train.labels[:200]),
            48,
            augment="crop-flip",
            generator=torch.Generator().manual_seed(1),
            device=device,
        )
        return [(images.cpu(), labels.cpu()) for images, labels in found]

    expected, held = batches(torch.device("cpu")), batches(CUDA)
    monkeypatch.setattr(on_gpu, "SHARE", 0.0)
    for found in (held, batches(CUDA)):
        for (images, labels), (others, classes) in zip(expected, found, strict=True):
            assert torch.equal(labels, classes)
            assert torch.allclose(images, others, atol=1e-6)


class Python(nn.Module):
    """Draws from Python's generator, which a graph would not repeat."""

    def __init__(self) -> None:
        super().__init__()
        self.own = small_model(depth=20)

    def forward(self, images: Tensor) -> Tensor:
        return self.own(images) * (1 + 0.01 * random.random())


class Asks(Python):
    """Asks for a value in the middle, which waits for the GPU."""

    def forward(self, images: Tensor) -> Tensor:
        answers = self.own(images)
        return answers * 2 if float(answers.detach().abs().max()) > 1e9 else answers


@pytest.mark.parametrize("network", [Python, Asks])
def test_a_network_that_a_graph_would_get_wrong_is_refused(network: type[nn.Module]) -> None:
    """In a process of its own, as a study's: after a recording that broke off torch draws no random numbers."""
    process = multiprocessing.get_context("spawn").Process(target=_is_refused, args=(network,))
    process.start()
    process.join()
    assert process.exitcode == 0


def _is_refused(network: type[nn.Module]) -> None:
    settle(2)
    with pytest.raises(SecateurError, match="can't be recorded as a CUDA graph") as caught:
        fit(network(), params(execution="graphs"), on_card())
    assert "execution: eager" in caught.value.remedy


@pytest.mark.parametrize("execution", ["eager", "graphs"])
def test_memory_that_runs_out_halves_what_goes_through_at_once_and_is_told(execution: str) -> None:
    data = replace(digits(), train=_large(2048), validation=_large(64))
    told, events = params(epochs=1, batch=2048, execution=execution), list[ev.Event]()
    used = _peak(lambda: fit(with_dropout(width=32, depth=20), told, on_card(data=data)))
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(0.7 * used / total, 1.0))
    fit(with_dropout(width=32, depth=20), told, on_card(data=data, events=events))
    texts = [event.text for event in events if isinstance(event, ev.Notice)]
    assert any("going on with 1024 images at a time" in text for text in texts), texts


def test_what_can_not_fit_is_said_with_amounts_and_a_way_out() -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    with pytest.raises(torch.OutOfMemoryError) as caught:
        torch.empty(2 * total, dtype=torch.uint8, device=CUDA)
    error = explain(caught.value, "finetune")
    assert error.title == "Out of GPU memory"
    assert "finetune asked for" in error.detail and "were free" in error.detail
    assert "smaller batch" in error.remedy


def test_an_operator_without_a_fixed_order_is_told() -> None:
    told: list[str] = []
    with warnings.catch_warnings():
        shown = warnings.showwarning
        tell_warnings(told.append)
        try:
            images = torch.rand(2, 3, 8, 8, device=CUDA, requires_grad=True)
            nn.functional.adaptive_avg_pool2d(images, 3).sum().backward()
        finally:
            warnings.showwarning = shown
    assert any("last bits may differ" in text for text in told), told


def test_a_group_of_one_exchanges_by_nccl_and_computes_what_one_process_does(tmp_path: Path) -> None:
    expected = bits(fit(small_model(depth=20), params(epochs=1), on_card()))
    join(distributed.FileStore(str(tmp_path / "meeting"), 1), 0, 1, "cuda", False)
    try:
        context = on_card()
        context.group = Group(0, 1, "sync")
        found = bits(fit(small_model(depth=20), params(epochs=1), context))
    finally:
        distributed.destroy_process_group()
    assert furthest(found, expected) < 1e-3


def _large(images: int) -> Split:
    chance = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (images, 1, 8, 8), dtype=torch.uint8, generator=chance)
    return Split(Pixels(pixels), torch.randint(10, (images,), generator=chance))


def _peak(run: Any) -> int:
    torch.cuda.reset_peak_memory_stats()
    run()
    return int(torch.cuda.max_memory_allocated())
