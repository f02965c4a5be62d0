"""A search's preset from a few words: which network, which images, what may be lost, and what is wanted."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.params import STEPS
from engine.params.catalog import DATASETS, DETECTOR, MODELS, own_code

TRAINING = {"epochs": 10, "learning_rate": 0.1}
"""How a network is trained that comes without weights."""
AUGMENTED = {"augment": "crop", "close_augment": 0.3}
"""How its images are changed where they are known to bear it."""
FLIPPED = ("cifar10", "cifar100", "fashion-mnist")
"""Sets whose images mean the same mirrored."""
KEPT = ("seed", "threads", "device", "distributed", "model", "data", "executor")
"""What a search for the network of another preset has of it, beside its steps."""
BUDGET = {"hours": 1}
"""Of a search that nobody has given one: its limits and goal can be changed before it starts."""


def preset(
    network: str,
    data: str,
    root: str | None,
    goal: dict[str, Any],
    within: dict[str, Any],
    budget: dict[str, Any],
    weights: str | None = None,
) -> dict[str, Any]:
    """The preset's plain values: `network` is a name from the catalog, the user's own code, or a file of weights.

    `weights` are those of a network with a name. Raises UsageError where `network` is a file of them already.
    """
    named = network in MODELS or own_code(network) is not None
    if weights and not named:
        raise UsageError(
            f"{network} is no network",
            "It is taken for a file of weights, and --weights names another.",
            "Name the network that they are for: resnet20, torchvision/NAME or path/file.py:function.",
        )
    if named and not weights and network.startswith(("torchvision/", DETECTOR)) and network in MODELS:
        weights = "pretrained"
    model = {"name": network} if named else {"weights": network}
    if weights:
        model["weights"] = weights
    document: dict[str, Any] = {
        "about": f"The best compressed {Path(network).name} that a search finds",
        "model": model,
        "data": {"name": data, **({"root": root} if root else {})},
    }
    if named and not weights:
        training: dict[str, Any] = dict(TRAINING)
        if data in DATASETS:
            training |= AUGMENTED
        if data in FLIPPED:
            training["augment"] = "crop-flip"
        document["steps"] = [{"train": training}]
    return {**document, "search": _search(goal, within, budget)}


def instead(document: Mapping[str, Any]) -> dict[str, Any]:
    """The search for the best version of the network that a preset compresses: the smallest file within a point.

    `document` holds the preset's plain values, its steps as mappings of one kind each. The network is the one that
    comes before its first compression; of several seeds it is the first one's.
    """
    kept = {name: document[name] for name in KEPT if document.get(name) is not None}
    if isinstance(seeds := kept.get("seed"), list):
        kept["seed"] = seeds[0] if seeds else 0
    if steps := list(_before_compression(document.get("steps") or [])):
        kept["steps"] = steps
    detector = str(kept.get("model", {}).get("name", "")).startswith(DETECTOR)
    limit = {"map50_95" if detector else "accuracy": "-1 point"}
    return {
        "about": "The best compressed version that a search finds",
        **kept,
        "search": _search({"smallest": "size.packed"}, limit, BUDGET),
    }


def _search(goal: dict[str, Any], within: dict[str, Any], budget: dict[str, Any]) -> dict[str, Any]:
    return {**goal, **({"within": within} if within else {}), "budget": budget, "over": "auto"}


def _before_compression(steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The steps that a preset's network is trained by; one that only measures is no part of it."""
    for step in steps:
        ((kind, params),) = step.items()
        if kind not in STEPS or STEPS[kind].compresses:
            return
        if STEPS[kind].trains and (params or {}).get("enabled") is not False:
            yield step
