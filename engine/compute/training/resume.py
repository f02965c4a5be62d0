"""Unfinished trainings: kept after an epoch, so that an interrupted one goes on with the same bits."""

import errno
import json
import math
import random
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from engine.compute.models import attributes, tensors
from engine.compute.models.attributes import Attributes
from engine.compute.numerics.aligned import read_tensors, write_tensors
from engine.store.files import explained, sync_folder
from engine.store.keys import file_hash

EVERY_S = 10.0
"""Seconds of training after which the state is kept at the next end of an epoch."""
LONG_EPOCH_S = 300.0
"""Seconds of training after which the state is kept in the middle of an epoch."""

OVERTAKEN = (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST)
"""Errors of writing a state that another study wrote first, or whose folder it removed: nothing is lost."""

GENERATORS = "chance/"
"""What the names of generators' states begin with in a kept state's file."""

Snapshot = tuple[dict[str, Tensor], dict[str, Any], Attributes]


@dataclass(frozen=True)
class Best:
    """The best weights so far, by the quality of their validation score (0 … 1)."""

    quality: float
    state: dict[str, Tensor]


@dataclass(frozen=True)
class Part:
    """Progress within an unfinished epoch, beside the state of model and optimizer.

    Attributes:
        batches: How many were trained.
        seen: How many images were in them.
        rate: The learning rate of the last one.
        total: Sum of their images' losses, a float64 scalar on the CPU.
        generators: The states of the random generators, by name, as tensors.
    """

    batches: int
    seen: int
    rate: float
    total: Tensor
    generators: dict[str, Tensor]

    def restore_generators(self, augmenting: torch.Generator, device: torch.device) -> None:
        """Set every generator to the state kept here."""
        augmenting.set_state(self.generators["augmenting"])
        torch.set_rng_state(self.generators["cpu"])
        _put_back_others(self.generators["numpy"], self.generators["python"], self.generators["waiting"])
        if device.type == "cuda" and "cuda" in self.generators:
            torch.cuda.set_rng_state(self.generators["cuda"], device)


def generator_states(augmenting: torch.Generator, device: torch.device) -> dict[str, Tensor]:
    """The states of all random generators that a batch draws from, by name."""
    states = {"augmenting": augmenting.get_state(), "cpu": torch.get_rng_state()} | _others()
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def _others() -> dict[str, Tensor]:
    """The states of NumPy's and Python's global generators, which a user's network may draw from.

    Both hold a normal number that waits to be drawn; NaN: Python's holds none.
    """
    _, words, position, has, normal = np.random.get_state()
    _, state, waiting = random.getstate()
    return {
        "numpy": torch.tensor([*map(int, words), position, has]),
        "python": torch.tensor(state),
        "waiting": torch.tensor(
            [float(normal), math.nan if waiting is None else waiting], dtype=torch.float64
        ),
    }


def _put_back_others(of_numpy: Tensor, of_python: Tensor, waiting: Tensor) -> None:
    *words, position, has = of_numpy.tolist()
    normal, other = waiting.tolist()
    np.random.set_state(("MT19937", np.array(words, np.uint32), position, has, normal))
    random.setstate((3, tuple(of_python.tolist()), None if math.isnan(other) else other))


@dataclass(frozen=True)
class Kept:
    """A kept state: the events of the whole epochs up to it, the best weights, what is done of the next epoch, and the
    averages of the weights (empty where none are taken)."""

    epochs: list[dict[str, Any]]
    best: Best | None
    part: Part | None
    average: dict[str, Tensor]


def copy_state(model: nn.Module) -> dict[str, Tensor]:
    """A copy of all tensors that the model holds, on the CPU: those too that no state_dict has."""
    named = tensors.saved(model) | tensors.unsaved(model)
    return {name: tensor.detach().cpu().clone() for name, tensor in named.items()}


def snapshot(model: nn.Module, optimizer: torch.optim.Optimizer) -> Snapshot:
    """The state to go back to; the optimizer's own tensors are copied to the CPU."""
    return copy_state(model), _optimizer_tensors(optimizer), attributes.recordable(model)


def put_back(model: nn.Module, optimizer: torch.optim.Optimizer, kept: Snapshot) -> None:
    tensors.fill_(model, kept[0])
    _load_optimizer(optimizer, kept[1])
    attributes.restore_(model, kept[2])


def keep(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    epochs: list[dict[str, Any]],
    best: Best | None,
    folder: Path,
    part: Part | None = None,
    average: dict[str, Tensor] | None = None,
) -> None:
    """Replace what `folder` keeps by the state after the last of `epochs`, which are their events, and after `part` of
    the epoch that follows; `average` are the averages of the weights."""
    epoch = len(epochs)
    held = {f"model/{n}": t for n, t in copy_state(model).items()}
    held |= {f"optimizer/{n}": t for n, t in _optimizer_tensors(optimizer).items()}
    if best is not None:
        held |= {f"best/{n}": t for n, t in best.state.items()}
    held |= {f"average/{n}": t for n, t in (average or {}).items()}
    if part is not None:
        held |= {"part/total": part.total} | {f"{GENERATORS}{n}": t for n, t in part.generators.items()}
    target = folder / (f"epoch-{epoch:05d}" if part is None else f"part-{epoch:05d}-{part.batches:08d}")
    temporary = folder / f".{uuid.uuid4().hex[:12]}"
    with explained(folder):
        try:
            temporary.mkdir(parents=True)
            write_tensors({n: t.contiguous() for n, t in held.items()}, temporary / "state.safetensors")
            digest = file_hash(temporary / "state.safetensors")
            facts: dict[str, Any] = {
                "sha256": digest,
                "best": best.quality if best else None,
                "epochs": epochs,
                "attributes": attributes.recordable(model),
            }
            if part is not None:
                facts["part"] = {"batches": part.batches, "seen": part.seen, "rate": part.rate}
            (temporary / "facts.json").write_text(json.dumps(facts))
            sync_folder(temporary)
            shutil.rmtree(target, ignore_errors=True)  # a damaged one: a whole one would have been used
            temporary.rename(target)
        except OSError as error:
            # Another study at the same step may have kept this epoch, or finished and removed the folder.
            if error.errno in OVERTAKEN:
                return
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    for older in _kept(folder)[:-1]:
        shutil.rmtree(older, ignore_errors=True)


def restore(model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path) -> Kept | None:
    """Load the latest whole state that `folder` keeps; None if there is none."""
    for kept in reversed(_kept(folder)):
        try:
            facts = json.loads((kept / "facts.json").read_text())
            if file_hash(kept / "state.safetensors") != facts["sha256"]:
                continue
            held, plain = read_tensors(kept / "state.safetensors"), facts["attributes"]
            best = None if facts["best"] is None else Best(facts["best"], _below("best/", held))
            part, average = _part(facts.get("part"), held), _below("average/", held)
            state = Kept(facts["epochs"], best, part, average)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError):
            continue
        tensors.fill_(model, _below("model/", held))
        _load_optimizer(optimizer, _below("optimizer/", held))
        attributes.restore_(model, plain)
        return state
    return None


def _part(facts: dict[str, Any] | None, held: dict[str, Tensor]) -> Part | None:
    if facts is None:
        return None
    return Part(facts["batches"], facts["seen"], facts["rate"], held["part/total"], _below(GENERATORS, held))


def _kept(folder: Path) -> list[Path]:
    """Kept states, the latest last."""
    try:
        folders = [*folder.glob("epoch-*"), *folder.glob("part-*-*")]
    except FileNotFoundError:  # another study finished and removed the folder just now
        return []
    return sorted(folders, key=lambda kept: kept.name.partition("-")[2])


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Momentum buffers and step counts by ``index.name``, on the CPU."""
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": value.detach().cpu().clone()
        for index, values in state.items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, field = name.partition(".")
        state.setdefault(int(index), {})[field] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
