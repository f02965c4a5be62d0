"""How images come to a network: the parameters of the data section, with those that a recipe stands for."""

from dataclasses import dataclass
from typing import Literal

from engine.datasets.recipes import RECIPES, STATISTICS, Recipe
from engine.datasets.records import Task
from engine.params.catalog import own_code
from engine.params.data import Data, Interpolation, Statistics
from engine.params.preset import Model

OWN_STATISTICS: Literal["data"] = "data"
"""Mean and deviation are those of the training images."""
Given = tuple[float, ...] | Literal["data"] | None
"""Values of each channel or of all; None: not said."""


@dataclass(frozen=True)
class Preprocessing:
    """What is done to every image, in this order.

    Attributes:
        resize: Pixels that the shorter side is resized to before `size` is cut out; None: resized to `size` at once.
        size: Height and width; None: as stored.
        interpolation: How it is resized.
        mean: What is subtracted, where 0 is black and 1 is white; None: not said.
        std: What is divided by; likewise.
    """

    resize: int | None
    size: tuple[int, int] | None
    interpolation: Interpolation
    mean: Given
    std: Given


def resolve(params: Data) -> Preprocessing:
    """What `params` say, and in their place what the recipe says that they name.

    Where a recipe is used at another size, the shorter side keeps the recipe's proportion to it.
    """
    recipe = RECIPES[params.preprocess] if params.preprocess else None
    size = (params.size, params.width or params.size) if params.size else None
    resize = params.resize
    if recipe is not None:
        size = size or (recipe.crop, recipe.crop)
        resize = resize or round(recipe.resize * max(size) / recipe.crop)
    mean, std = _statistics(params, recipe)
    interpolation = params.interpolation or (recipe.interpolation if recipe else "bilinear")
    return Preprocessing(resize, size, interpolation, mean, std)


def _statistics(params: Data, recipe: Recipe | None) -> tuple[Given, Given]:
    mean, std = params.mean, params.std if params.std is not None else params.mean
    own = recipe.statistics if recipe else (None, None)
    return _named(mean, 0) if mean is not None else own[0], _named(std, 1) if std is not None else own[1]


def _named(given: tuple[float, ...] | Statistics, place: int) -> Given:
    if isinstance(given, tuple) or given == OWN_STATISTICS:
        return given
    return STATISTICS[given][place]


def usual(task: Task) -> Literal["data"] | None:
    """Mean and deviation where a preset says nothing of them; None: 0 and 1, as published detectors were trained."""
    return OWN_STATISTICS if task == "classification" else None


def changed(params: Data, task: Task) -> dict[str, object]:
    """What of it changes the images beyond size and channels: those that are at their default are left out."""
    chosen = resolve(params)
    settings: dict[str, object] = {}
    if chosen.resize is not None:
        settings["resize"] = chosen.resize
    if chosen.interpolation != "bilinear":
        settings["interpolation"] = chosen.interpolation
    for name, value in (("mean", chosen.mean), ("std", chosen.std)):
        if value is not None and value != usual(task):
            settings[name] = value if value == OWN_STATISTICS else list(value)
    if params.range is not None:
        settings["range"] = list(params.range)
    return settings


def unsaid(model: Model, data: Data) -> str:
    """What to tell of weights that are used on images normalized otherwise than they were trained with; "" of others.

    Which normalization a file of weights was trained with is nowhere in it.
    """
    if model.weights == "random" or data.preprocess is not None or data.mean is not None:
        return ""
    name = model.name if model.name in RECIPES else ""
    known = RECIPES.get(name)
    if known is not None:
        whose = (
            "the pretrained weights" if model.weights == "pretrained" else f"torchvision's weights of {name}"
        )
        mean, std = (", ".join(f"{value:g}" for value in values) for values in known.statistics)
        return (
            f"The images are normalized by their own mean and deviation; {whose} were trained with mean {mean} and "
            f"deviation {std}, the shorter side resized to {known.resize} and the middle {known.crop} cut out. "
            f"data.preprocess: {name} does the same"
        )
    own = " of your network" if own_code(model.name) else ""
    return (
        f"The images are normalized by their own mean and deviation, and {model.weights} does not say what the "
        f"weights{own} were trained with. Set data.mean and data.std (data.preprocess: imagenet for most that were "
        "trained on ImageNet; data.mean: data if this is right)"
    )
