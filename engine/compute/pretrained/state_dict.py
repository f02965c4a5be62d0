"""State_dicts into networks, and torchvision's pretrained ones."""

import re
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.compute.models.tensors import STATISTICS, aliases, equal
from engine.compute.pretrained.files import refused
from engine.compute.pretrained.weight_files import read
from engine.errors import SecateurError
from engine.params.preset import Model
from engine.store.keys import file_hash
from engine.text.visible import visible

LISTED = 6
"""How many names of an unfitting state_dict an error shows."""
COUNTER = "num_batches_tracked"
"""A batch normalization's counter of batches, which old files lack and no prediction uses."""


def load_into(model: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load `state` strictly; an error lists what is missing, unexpected, of another shape, or of two values for what
    is one tensor."""
    own = model.state_dict()
    wrong = [f"missing {n}" for n in own.keys() - state.keys() if not n.endswith(COUNTER)]
    wrong += [f"unexpected {name}" for name in state.keys() - own.keys()]
    wrong += [
        other_size(name, state[name], own[name])
        for name in own.keys() & state.keys()
        if own[name].shape != state[name].shape
    ]
    if wrong:
        raise unfit(source, wrong)
    _check_shared(model, state, source)
    _check_values(model, state, source)
    full = OrderedDict((name, state.get(name, tensor)) for name, tensor in own.items())
    # Some of torchvision's modules (MNASNet) refuse weights that do not say which version they are of.
    full._metadata = getattr(own, "_metadata", {})  # type: ignore[attr-defined]
    model.load_state_dict(full)


def _check_shared(model: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Raises SecateurError where the file has different values for what is one tensor in the network."""
    wrong = []
    for names in aliases(model):
        first, *others = (name for name in names if name in state)
        wrong += [f"{first} and {name}" for name in others if not equal(state[first], state[name])]
    if wrong:
        raise SecateurError(
            f"The weights in {source} contradict what the model shares",
            f"One tensor in the model, and of different values in the file:\n{_listed(wrong)}",
            "Build the model with a tensor for each of these names, as it was trained; or correct the file.",
        )


def _check_values(model: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Raises SecateurError where what training moves holds what no training leaves: a mask may well hold -inf."""
    moved = {name for name, p in model.named_parameters(remove_duplicate=False) if p.requires_grad}
    wrong = []
    for name, tensor in state.items():
        leaf = name.rpartition(".")[2]
        if not tensor.is_floating_point() or (name not in moved and leaf not in STATISTICS):
            continue
        if not bool(tensor.isfinite().all()):
            wrong.append(f"{name} has values that are no numbers (NaN or infinite)")
        elif leaf == "running_var" and bool((tensor < 0).any()):
            wrong.append(f"{name} has variances below 0")
    if wrong:
        raise SecateurError(
            f"The weights in {source} can't be computed with",
            _listed(wrong),
            "Their training may have diverged before they were saved: bring an earlier file.",
        )


def other_size(name: str, has: Tensor, wanted: Tensor) -> str:
    """A line of `unfit` for a tensor that the model has in another size."""
    return f"{name} is {tuple(has.shape)}, the model has {tuple(wanted.shape)}"


def unfit(source: str, wrong: list[str]) -> SecateurError:
    """The error for weights that do not fit: the first differences, and how many more there are."""
    return SecateurError(
        f"The weights in {source} do not fit the model",
        _listed(wrong),
        "Name the architecture they belong to, or leave model.name out to have it recognized.",
    )


def _listed(wrong: list[str]) -> str:
    more = f"\n  … and {len(wrong) - LISTED} more" if len(wrong) > LISTED else ""
    return "\n".join(f"  {visible(line)}" for line in sorted(wrong)[:LISTED]) + more


def pretrained_state(params: Model) -> tuple[dict[str, Tensor], int]:
    """torchvision's default pretrained state_dict and its number of classes.

    Taken from torch's hub folder, which users may share: the file is compared with the hash in its name, and read as
    any other file of weights is, nothing in it being run. Downloaded only when `allow_download` says so.
    """
    import torchvision

    if not params.name.startswith("torchvision/"):
        raise SecateurError(
            f"There are no pretrained weights for {params.name}",
            "Only torchvision/… models have them.",
            "Use weights: random, or the path of a state_dict.",
        )
    name = params.name.removeprefix("torchvision/")
    weights = torchvision.models.get_model_weights(name).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]
    if not file.is_file():
        _download(params, weights.url, file)
    _check_hash(file)
    weight_file = read(file, params.model_copy(update={"trust_pickle": False}))
    return weight_file.state, len(weights.meta["categories"])


def _download(params: Model, url: str, file: Path) -> None:
    if not params.allow_download:
        raise SecateurError(
            f"The pretrained weights of {params.name} are not on this machine",
            f"Looked for {file}; model.allow_download is false.",
            f"On a node with internet set model.allow_download: true once, or copy {url} there.",
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), _hash(file), progress=False)
    except (OSError, RuntimeError) as error:
        raise SecateurError(
            f"The pretrained weights of {params.name} could not be downloaded",
            f"{type(error).__name__}: {error}",
            "Compute nodes often have no internet: download on the login node.",
        ) from error


def _check_hash(file: Path) -> None:
    if not file_hash(file).startswith(_hash(file)):
        raise refused(
            file,
            "is not what torchvision published: its SHA-256 does not begin as its name says",
            "Delete it and download it again.",
        )


def _hash(file: Path) -> str:
    """The first digits of the file's SHA-256, which torchvision writes into its name; "" where there are none."""
    digits = re.search(r"-([0-9a-f]{8,})\.", file.name)
    return digits[1] if digits else ""
