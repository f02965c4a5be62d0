"""Training: it learns, it repeats bit for bit, and an interruption changes nothing."""

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.compute.context import Context
from engine.compute.numerics.seeds import derive
from engine.compute.steps.calibration.step import calibrate
from engine.compute.stopping import Stopped
from engine.compute.tasks.classification import agreement
from engine.compute.tasks.evaluate import score
from engine.compute.training import loop as fit_module
from engine.compute.training import resume
from engine.compute.training.loop import fit
from engine.compute.training.optimizers import optimizer_of
from engine.compute.training.schedules import learning_rate_factor
from engine.errors import SecateurError
from engine.params.calibrate import Calibrate
from engine.params.training import Ema, Finetune, Train
from engine.studies import events as ev
from tests.engine.compute.compute_help import (
    Interrupted,
    context_for,
    digits,
    small_model,
    stop_in_third_epoch,
)


def bits(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_training_learns_the_digits() -> None:
    events: list[ev.Event] = []
    model = fit(small_model(), Train(epochs=6, learning_rate=0.2, batch=64), context_for(events=events))
    epochs = [e for e in events if isinstance(e, ev.EpochFinished)]
    assert [e.epoch for e in epochs] == [1, 2, 3, 4, 5, 6]
    assert epochs[-1].loss < epochs[0].loss
    assert score(model, digits(), digits().test, torch.device("cpu")).accuracy > 0.8


@pytest.mark.parametrize("augment", ["none", "crop-flip"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(augment: str) -> None:
    params = Train(epochs=1, augment=augment)  # type: ignore[arg-type]
    runs = [bits(fit(small_model(depth=8), params, context_for(seed=seed))) for seed in (0, 0, 1)]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_closed_epochs_are_those_of_a_training_without_augmentation() -> None:
    def losses(**params: Any) -> list[float]:
        events: list[ev.Event] = []
        fit(
            small_model(depth=8),
            Train(epochs=2, schedule="constant", **params),
            context_for(events=events),
        )
        return [e.loss for e in events if isinstance(e, ev.EpochFinished)]

    plain, shifted = losses(), losses(augment="crop-flip")
    first, second = losses(augment="crop-flip", close_augment=0.5)
    assert first == shifted[0] != plain[0]
    assert second != shifted[1]
    assert losses(augment="crop-flip", close_augment=0.9) == plain


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("keep", ["last", "best"])
def test_an_interrupted_training_goes_on_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str, keep: str
) -> None:
    ema = Ema(decay=0.9, ramp=5) if optimizer == "adamw" else None
    params = Train(epochs=4, optimizer=optimizer, learning_rate=0.01, keep=keep, augment="crop", ema=ema)  # type: ignore[arg-type]
    undisturbed = bits(fit(small_model(depth=8), params, context_for()))
    monkeypatch.setattr(resume, "EVERY_S", 0.0)
    told: list[ev.Event] = []
    context = context_for(partial=tmp_path / "partial", events=told)
    stop_in_third_epoch(context)
    with pytest.raises(Interrupted):
        fit(small_model(depth=8), params, context)
    events: list[ev.Event] = []
    again = fit(small_model(depth=8), params, context_for(partial=tmp_path / "partial", events=events))
    epochs = [e for e in events if isinstance(e, ev.EpochFinished)]
    assert [e.epoch for e in epochs] == [1, 2, 3, 4], "a curve drawn from the events is whole"
    first = [e for e in told if isinstance(e, ev.EpochFinished)]
    assert epochs[:2] == first, "the first two are told again, not computed again"
    assert not any(isinstance(e, ev.Notice) and "goes on" in e.text for e in told)
    (said,) = [e.text for e in events if isinstance(e, ev.Notice) and "goes on" in e.text]
    assert said.endswith("2 of 4 epochs")
    assert same(bits(again), undisturbed)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_training_that_is_stopped_in_the_middle_of_epochs_goes_on_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    """Asked to stop after 2, then 3 batches and so on; dropout and augmentation draw by chance."""
    params = Train(
        epochs=3,
        batch=64,
        optimizer=optimizer,  # type: ignore[arg-type]
        learning_rate=0.01,
        keep="best",
        augment="crop-flip",
        ema=Ema(decay=0.9, ramp=5) if optimizer == "adam" else None,
    )

    def model() -> nn.Module:
        return nn.Sequential(small_model(depth=8), nn.Dropout(0.3))

    first: list[ev.Event] = []
    undisturbed = bits(fit(model(), params, context_for(events=first)))
    update = fit_module._update
    told: list[ev.Event] = []
    stops = 0
    while True:
        context = context_for(partial=tmp_path / "partial", events=told)
        left = stops + 2

        def counted(*args: Any, context: Context = context) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                context.stopping.ask()
            return update(*args)

        monkeypatch.setattr(fit_module, "_update", counted)
        told.clear()
        try:
            found = fit(model(), params, context)
            break
        except Stopped:
            stops += 1
    assert stops >= 3
    assert same(bits(found), undisturbed)
    ends = [
        [replace(e, time=0, seconds=0) for e in all_ if isinstance(e, ev.EpochFinished)]
        for all_ in (first, told)
    ]
    assert ends[0] == ends[1], "losses and rates of epochs that were interrupted too"


def test_a_damaged_partial_state_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "EVERY_S", 0.0)
    params = Train(epochs=2)
    undisturbed = bits(fit(small_model(), params, context_for(partial=tmp_path)))
    for file in tmp_path.rglob("state.safetensors"):
        file.write_bytes(file.read_bytes()[:-10])
    assert same(bits(fit(small_model(), params, context_for(partial=tmp_path))), undisturbed)


def test_a_diverging_training_says_so_and_names_the_learning_rate() -> None:
    model = small_model()
    with torch.no_grad():
        model.fc.weight.fill_(1e38)
    with pytest.raises(SecateurError, match=r"diverged[\s\S]*learning_rate") as caught:
        fit(model, Train(epochs=1), context_for())
    assert "onecycle" in caught.value.remedy


def test_the_best_epoch_is_kept_by_validation() -> None:
    events: list[ev.Event] = []
    params = Train(epochs=4, learning_rate=0.5, keep="best", schedule="constant")
    model = fit(small_model(), params, context_for(events=events))
    best = max(e.measures["validation_accuracy"] for e in events if isinstance(e, ev.EpochFinished))
    kept = score(model, digits(), digits().validation, torch.device("cpu"))
    assert kept.quality == kept.accuracy == best


def test_small_pieces_of_a_batch_give_the_gradient_of_the_whole() -> None:
    """What happens after the GPU's memory ran out: accumulated gradients, the same effective batch."""
    gradients = []
    images, labels = next(digits().batches(digits().train, 64))
    for micro in (64, 10):
        model = small_model().eval()  # BatchNorm statistics do depend on the pieces; its frozen form does not
        run = fit_module._Run(
            model, torch.optim.SGD(model.parameters(), lr=0.0), Train(), context_for(), "", micro
        )
        fit_module._update(run, images, labels, len(labels))
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


def test_running_out_of_memory_starts_the_epoch_again_in_smaller_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Driven by an allocator error of our own: the recovery itself is real."""
    events: list[ev.Event] = []
    context = context_for(events=events)
    model = small_model()
    run = fit_module._Run(model, optimizer_of(model, Train()), Train(epochs=1), context, "fit", 128)
    started = resume.snapshot(model, run.optimizer)
    real = fit_module._train_epoch

    def short_of_memory(run: fit_module._Run, epoch: int) -> tuple[float, float]:
        result = real(run, epoch)
        if run.micro > 40:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return result

    monkeypatch.setattr(fit_module, "_train_epoch", short_of_memory)
    monkeypatch.setattr(context, "device", torch.device("cpu"))
    loss, _ = fit_module._halving(run, 1, started)
    assert run.micro == 32
    assert loss > 0
    assert [e.text for e in events if isinstance(e, ev.Notice)] == [
        f"Out of GPU memory: going on with {n} images at a time, gradients accumulated to the same batch of 128"
        for n in (64, 32)
    ]


def test_what_a_training_held_is_free_when_it_ends() -> None:
    """A recorded graph's memory on a GPU too, which the next training needs: no garbage collection comes between."""
    gc.collect()
    gc.disable()
    try:
        fit(small_model(depth=8), Train(epochs=1), context_for())
        assert not [held for held in gc.get_objects() if type(held) is fit_module._Run]
    finally:
        gc.enable()


def test_calibration_sets_the_statistics_of_training_images() -> None:
    model = fit(small_model(), Train(epochs=3, learning_rate=0.1), context_for())
    good = score(model, digits(), digits().test, torch.device("cpu")).accuracy
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    spoiled = score(model, digits(), digits().test, torch.device("cpu")).accuracy
    repaired = calibrate(model, Calibrate(images=300, batch=100), context_for())
    again = score(repaired, digits(), digits().test, torch.device("cpu")).accuracy
    assert spoiled < good - 0.2
    assert again > good - 0.05


def test_one_cycle_rises_then_falls_to_nothing() -> None:
    factors = [learning_rate_factor("onecycle", step / 100) for step in range(101)]
    assert max(factors) == pytest.approx(1.0, abs=0.01)
    assert 25 <= factors.index(max(factors)) <= 35
    assert factors[-1] == pytest.approx(0.0, abs=1e-9)


def test_purposes_have_seeds_of_their_own() -> None:
    seeds = {derive(0, "order", 1), derive(0, "order", 2), derive(1, "order", 1), derive(0, "augment", 1)}
    assert len(seeds) == 4


def test_agreement_is_the_share_of_equal_predictions() -> None:
    assert agreement(torch.tensor([1, 2, 3]), torch.tensor([1, 2, 4])) == pytest.approx(2 / 3)


def test_a_finetune_defaults_to_one_gentle_epoch() -> None:
    assert (Finetune().epochs, Finetune().learning_rate) == (1, 0.01)
