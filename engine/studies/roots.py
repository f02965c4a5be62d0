"""What a network is before its first step, as all its keys have it: how it is built, its weights, data and machine."""

import re
from pathlib import Path
from typing import Any

from engine.datasets import RECORDS
from engine.datasets.preprocess import resolve
from engine.machine.value import Machine
from engine.params.catalog import UNSAVED, WEIGHT_FILES
from engine.params.preset import Data, Model
from engine.presets.spec import Trial
from engine.sources import Sources
from engine.store.keys import content_hash, key

MODEL_VERSION = 3
"""Of how a network is built and kept: every key has it."""
PIECES_VERSION = 1
"""Raised when other numbers of images are evaluated together; in the keys of what may not fit as a whole batch."""
WHOLE_UP_TO = 32
"""Height and width in pixels at which a whole batch of any network of ours or of torchvision's fits."""


def root_key(trial: Trial, model: Model, fingerprint: str, machine: Machine, code: Sources) -> str:
    """The key that a trial's first step has as its parent's."""
    pieces = {} if fits_whole(model, trial.settings.data) else {"pieces": PIECES_VERSION}
    return key(built_from(model, fingerprint, machine, code) | {"seed": trial.settings.seed} | pieces)


def built_from(model: Model, fingerprint: str, machine: Machine, code: Sources) -> dict[str, Any]:
    """All that decides what a network is before its first step, but for the seed."""
    own = code.material(model.name, model.arguments)
    return own | {
        "version": MODEL_VERSION,
        # Whether a download or a pickle is allowed decides whether there is a result, not which.
        "model": model.model_dump(mode="json", include=set(Model.model_fields) - _NO_RESULT) | _taken(model),
        "model_files": own.get("model_files", {}) | weights_of(model),
        "data": fingerprint,
        "numerics": machine.numerics,
    }


def weights_of(model: Model) -> dict[str, str]:
    """The SHA-256 of each file of weights that decides what the model is."""
    return {name: content_hash(Path(name)) for name in _weight_files(model.weights)}


def data_key(data: Data) -> str:
    """Tells sections of data apart."""
    return key(data.model_dump(mode="json"))


def begun_with(kept: object, data: Data) -> str | None:
    """The fingerprint of the data that a study began with; None where it was not kept. `kept` is its data.json."""
    if not isinstance(kept, dict):
        return None
    # Where it began with one set, parameters that a later version has more do not matter.
    only = next(iter(kept.values())) if len(kept) == 1 else None
    found = kept.get(data_key(data), only)
    return found if isinstance(found, str) else None


def fits_whole(model: Model, data: Data) -> bool:
    """Whether it is known, before the network is built, that it is evaluated in the largest batches."""
    record = RECORDS.get(data.name)
    size = max(resolve(data).size or (0,)) or (record.size if record else None)
    known = re.fullmatch(r"resnet\d+|torchvision/\w+", model.name) is not None and not model.arguments
    return known and size is not None and size <= WHOLE_UP_TO


_NO_RESULT = {"allow_download", "trust_pickle", "part", "new_layers"}


def _taken(model: Model) -> dict[str, Any]:
    """What of a file is taken, where that is not all."""
    return {name: value for name in ("part", "new_layers") if (value := getattr(model, name))}


def _weight_files(weights: str) -> list[str]:
    """The files of weights that decide what the model is; of a folder, those that it may have."""
    named = [weights, *(f"{weights}/{file}" for file in (*WEIGHT_FILES, UNSAVED))]
    if weights.endswith("/model.safetensors"):
        named += [str(Path(weights).with_name(file)) for file in ("model.json", UNSAVED)]
    return [file for file in named if file and Path(file).is_file()]
