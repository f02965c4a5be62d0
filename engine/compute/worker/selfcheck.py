"""Whether equal computations give equal bits here: trained twice, resumed, and loaded from any address.

Run by `engine.runner.bits` as ``python -m engine.compute.worker.selfcheck THREADS``; it ends with the checks in JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine import datasets
from engine.compute.context import Context
from engine.compute.data import Dataset, load
from engine.compute.models import checkpoint
from engine.compute.models.architecture import architecture
from engine.compute.numerics.aligned import bits
from engine.compute.pretrained.create import create
from engine.compute.training.loop import fit
from engine.compute.worker.setup import settle
from engine.errors import SecateurError
from engine.machine import lock, private
from engine.params import Train
from engine.params.preset import Data, Model
from engine.studies import events as ev

NETWORKS = ("resnet20", "torchvision/mobilenet_v3_small")
"""Convolutions of every kind, normalization, linear layers, pooling and activations, in a few seconds."""
IMAGES = 300
EPOCHS = 2
STEP_BYTES = 4
ADDRESSES = 16
"""Steps of a float's size within a cache line, where files place their tensors."""
BATCHES = (1, 8)
"""Images at a time: one alone is a matrix-vector product, which libraries compute in another way."""


class _Stopped(Exception):
    """The training was interrupted where the check wants it to be."""


def checks(threads: int, folder: Path) -> list[dict[str, Any]]:
    """What was compared, with which network, and `different`: the names of what had other bits."""
    settle(threads)
    params = Data(name="digits", limit=IMAGES)
    data = load(params, datasets.locate(params, folder))
    results = []
    for number, name in enumerate(NETWORKS):
        place = folder / str(number)
        model = _train(name, data, place / "once")
        compared = {
            "trained twice": _differing(model, _train(name, data, place / "twice")),
            "resumed": _differing(model, _resumed(name, data, place / "resumed")),
            f"loaded at {ADDRESSES} addresses": _loaded(model, place / "saved"),
        }
        results += [{"what": what, "network": name, "different": names} for what, names in compared.items()]
    return results


def _train(name: str, data: Dataset, partial: Path, *, until: int = EPOCHS) -> nn.Module:
    """The network `name` after its training, or _Stopped when epoch `until` has ended and more were to follow."""

    def send(event: ev.Event) -> None:
        # One epoch later, because an epoch is told before it is kept.
        if isinstance(event, ev.EpochFinished) and event.epoch > until:
            raise _Stopped

    model, _ = create(Model(name=name), channels=data.channels, classes=data.classes, size=data.size, seed=0)
    context = Context(data, torch.device("cpu"), 0, 1, "selfcheck", partial, send)
    return fit(model, Train(epochs=EPOCHS, batch=50), context, keep_every_s=0.0).eval()


def _resumed(name: str, data: Dataset, partial: Path) -> nn.Module:
    try:
        _train(name, data, partial, until=1)
    except _Stopped:
        return _train(name, data, partial)
    raise AssertionError("the training was not interrupted")


def _loaded(model: nn.Module, folder: Path) -> list[str]:
    """What differs of the model, or of its outputs, when its file places the tensors a float further on, and so on."""
    folder.mkdir(parents=True)
    try:
        checkpoint.save(model, folder)
    except SecateurError as error:
        return [error.detail]
    file = folder / checkpoint.TENSORS
    content = file.read_bytes()
    names: dict[str, None] = {}
    first = None
    for number in range(ADDRESSES):
        file.write_bytes(moved(content, STEP_BYTES * number))
        again = checkpoint.load(folder)
        outputs = _outputs(again)
        first = outputs if first is None else first
        names |= dict.fromkeys(_differing(model, again))
        names |= dict.fromkeys(name for name in outputs if not _equal(first[name], outputs[name]))
    return list(names)


def moved(content: bytes, by: int) -> bytes:
    """A safetensors file with its tensors `by` bytes further on; what it holds stays the same."""
    header = int.from_bytes(content[:8], "little")
    end = 8 + header
    return (header + by).to_bytes(8, "little") + content[8:end] + b" " * by + content[end:]


def _outputs(model: nn.Module) -> dict[str, Tensor]:
    arch = architecture(model)
    random = torch.Generator().manual_seed(0)
    images = {f"output of {n}": torch.rand(n, arch.channels, *arch.size, generator=random) for n in BATCHES}
    with torch.inference_mode():  # of this very model: a copy's tensors would lie elsewhere
        return {name: model(batch) for name, batch in images.items()}


def _differing(one: nn.Module, two: nn.Module) -> list[str]:
    ours, theirs = one.state_dict(), two.state_dict()
    return [name for name in ours if not _equal(ours[name], theirs[name])]


def _equal(one: Tensor, two: Tensor) -> bool:
    return torch.equal(bits(one), bits(two))


def _waiting(seconds: float, processes: tuple[int, ...] | None) -> None:
    if processes is not None:
        print(f"waiting for {lock.measuring() or 'a study'} to measure latency", file=sys.stderr)


def main() -> None:
    with private.scratch() as folder, lock.shared(_waiting):
        print(json.dumps(checks(int(sys.argv[1]), folder)))


if __name__ == "__main__":
    main()
