"""A search's preset from a few words: which network, which images, what may be lost, and what is wanted."""

from pathlib import Path
from typing import Any

from engine.params.catalog import DATASETS, DETECTOR, MODELS, own_code

TRAINING = {"epochs": 10, "learning_rate": 0.1}
"""How a network is trained that comes without weights."""
AUGMENTED = {"augment": "crop", "close_augment": 0.3}
"""How its images are changed where they are known to bear it."""
FLIPPED = ("cifar10", "cifar100", "fashion-mnist")
"""Sets whose images mean the same mirrored."""


def preset(
    network: str,
    data: str,
    root: str | None,
    goal: dict[str, Any],
    within: dict[str, Any],
    budget: dict[str, Any],
) -> dict[str, Any]:
    """The preset's plain values: `network` is a name from the catalog, the user's own code, or a file of weights."""
    named = network in MODELS or own_code(network) is not None
    pretrained = network in MODELS and network.startswith(("torchvision/", DETECTOR))
    model = {"name": network} if named else {"weights": network}
    if pretrained:
        model["weights"] = "pretrained"
    document: dict[str, Any] = {
        "about": f"The best compressed {Path(network).name} that a search finds",
        "model": model,
        "data": {"name": data, **({"root": root} if root else {})},
    }
    if named and not pretrained:
        training: dict[str, Any] = dict(TRAINING)
        if data in DATASETS:
            training |= AUGMENTED
        if data in FLIPPED:
            training["augment"] = "crop-flip"
        document["steps"] = [{"train": training}]
    search = {**goal, **({"within": within} if within else {}), "budget": budget, "over": "auto"}
    return {**document, "search": search}
