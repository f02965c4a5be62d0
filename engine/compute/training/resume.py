"""Unfinished trainings: kept after an epoch, so that an interrupted one goes on with the same bits."""

import errno
import json
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from engine.compute.numerics.aligned import read_tensors, write_tensors
from engine.store.files import explained, sync_folder
from engine.store.keys import file_hash

EVERY_S = 10.0
"""Seconds of training after which the state is kept at the next end of an epoch."""

OVERTAKEN = (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST)
"""How it fails to keep a state where another study has kept the same one, or removed the folder."""

Snapshot = tuple[dict[str, Tensor], dict[str, Any]]


@dataclass(frozen=True)
class Best:
    """The best weights so far, by the quality of their validation score (0 … 1)."""

    quality: float
    state: dict[str, Tensor]


def copy_state(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the model's state on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def snapshot(model: nn.Module, optimizer: torch.optim.Optimizer) -> Snapshot:
    """The state to go back to; the optimizer's own tensors are copied to the CPU."""
    return copy_state(model), _optimizer_tensors(optimizer)


def put_back(model: nn.Module, optimizer: torch.optim.Optimizer, kept: Snapshot) -> None:
    model.load_state_dict(kept[0])
    _load_optimizer(optimizer, kept[1])


def keep(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    epochs: list[dict[str, Any]],
    best: Best | None,
    folder: Path,
) -> None:
    """Replace what `folder` keeps by the state after the last of `epochs`, which are their events."""
    epoch = len(epochs)
    tensors = {f"model/{n}": t for n, t in copy_state(model).items()}
    tensors |= {f"optimizer/{n}": t for n, t in _optimizer_tensors(optimizer).items()}
    if best is not None:
        tensors |= {f"best/{n}": t for n, t in best.state.items()}
    target = folder / f"epoch-{epoch:05d}"
    temporary = folder / f".{uuid.uuid4().hex[:12]}"
    with explained(folder):
        try:
            temporary.mkdir(parents=True)
            write_tensors({n: t.contiguous() for n, t in tensors.items()}, temporary / "state.safetensors")
            digest = file_hash(temporary / "state.safetensors")
            facts = {"sha256": digest, "best": best.quality if best else None, "epochs": epochs}
            (temporary / "facts.json").write_text(json.dumps(facts))
            sync_folder(temporary)
            shutil.rmtree(target, ignore_errors=True)  # a damaged one: a whole one would have been used
            temporary.rename(target)
        except (OSError, SafetensorError) as error:
            # Another study at the same step may have kept this epoch, or finished and removed the folder.
            if getattr(error, "errno", None) in OVERTAKEN or "(os error 2)" in str(error):
                return
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    for older in _kept(folder)[:-1]:
        shutil.rmtree(older, ignore_errors=True)


def restore(model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path) -> list[dict[str, Any]]:
    """Load the latest whole state that `folder` keeps; the events of the epochs up to it, none if there is none."""
    found = _latest(folder)
    if found is None:
        return []
    epochs, tensors, _ = found
    model.load_state_dict(_below("model/", tensors))
    _load_optimizer(optimizer, _below("optimizer/", tensors))
    return epochs


def restore_best(folder: Path) -> Best | None:
    found = _latest(folder)
    if found is None or found[2] is None:
        return None
    return Best(found[2], _below("best/", found[1]))


def _latest(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Tensor], float | None] | None:
    for kept in reversed(_kept(folder)):
        try:
            facts = json.loads((kept / "facts.json").read_text())
            if file_hash(kept / "state.safetensors") != facts["sha256"]:
                continue
            return facts["epochs"], read_tensors(kept / "state.safetensors"), facts["best"]
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError):
            continue
    return None


def _kept(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("epoch-*"))
    except FileNotFoundError:  # another study finished and removed the folder just now
        return []


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
