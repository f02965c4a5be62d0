"""What no single parameter can know: names that must exist, and steps in an order that can work."""

import re
from collections.abc import Iterable

from engine import sweep
from engine.catalog import DATASETS, MODELS
from engine.errors import Problem
from engine.spec.files import OWN_CODE, looks_like_file
from engine.spec.model import MEASURES
from engine.spec.tree import StepNode
from engine.spec.trials import Assignment, Point, Sweep, parameters
from engine.wording import given, names, suggest, text_of
from engine.yamltree import Listing, Mapping, Node, Scalar, at

_FUNCTION = re.compile(r".+\.py:[^\W\d]\w*")


def named(root: Mapping, swept: Sweep) -> list[Problem]:
    """Model, data set, weights and plot must name something there is."""
    problems: list[Problem] = []
    for node in _values(root, swept, "model.name"):
        problems += _name(node, MODELS, "a model: resnet20, torchvision/NAME or path/file.py:function")
    for node in _values(root, swept, "data.name"):
        problems += _name(node, DATASETS, "a data set: see `secateur data list`, or path/file.py:function")
    for node in _values(root, swept, "model.weights"):
        problems += _weights(node)
    return problems + _image_folder(root, swept) + _plot(root)


def _values(root: Mapping, swept: Sweep, path: str) -> list[Node]:
    """Every value a setting takes: the one written, and those of the sweep."""
    written = at(root, *path.split("."))
    found = [] if written is None else [written]
    for one in swept.assignments:
        if one.target.keys == tuple(path.split(".")):
            found += [point[one.column] for point in swept.axes[one.axis].points]
    return found


def _name(node: Node, known: tuple[str, ...], allowed: str) -> list[Problem]:
    name = text_of(node)
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or name in known:
        return []
    if OWN_CODE in name:
        allowed = "path/file.py:function, the function by its name"
        return [] if _FUNCTION.fullmatch(name) else [Problem(node.place, node.path, given(node), allowed)]
    hint = suggest(name, known)
    if name.endswith(".py"):
        hint = f"add the function: {name}:FUNCTION"
    return [Problem(node.place, node.path, given(node), allowed, hint)]


def _weights(node: Node) -> list[Problem]:
    text = text_of(node)
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        return []
    if text in ("random", "pretrained") or looks_like_file(text):
        return []
    hint = suggest(text, ("random", "pretrained"))
    allowed = "random, pretrained, or a file (.safetensors, .pth)"
    return [Problem(node.place, node.path, given(node), allowed, hint)]


def _image_folder(root: Mapping, swept: Sweep) -> list[Problem]:
    folders = [node for node in _values(root, swept, "data.name") if text_of(node) == "imagefolder"]
    if not folders or _values(root, swept, "data.root"):
        return []
    return [
        Problem(
            folders[0].place, "data.root", "is missing", "the folder that holds the images, for imagefolder"
        )
    ]


def _plot(root: Mapping) -> list[Problem]:
    axes = sweep.paths(root.items.get("sweep"))
    seeds = root.items.get("seed")
    if isinstance(seeds, Listing) and len(seeds.items) > 1 and "seed" not in axes:
        axes = (*axes, "seed")
    problems = _one_of(at(root, "plot", "x"), (*axes, *MEASURES), "a swept parameter or a measure")
    problems += _one_of(at(root, "plot", "y"), MEASURES, "a measure")
    return problems + _one_of(at(root, "plot", "by"), axes, "a swept parameter")


def _one_of(node: Node | None, known: tuple[str, ...], what: str) -> list[Problem]:
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or node.value in known:
        return []
    allowed = f"{what}: {names(known, most=20)}" if known else f"{what} (nothing is swept)"
    return [Problem(node.place, node.path, given(node), allowed, suggest(node.value, known))]


def order(root: Mapping, steps: list[StepNode], swept: Sweep) -> list[Problem]:
    """Steps that need trained weights where no step before them trains, in any trial; each reported once."""
    switches = {step.index: _switch(swept, step) for step in steps}
    weights = [one for one in swept.assignments if one.target.keys == ("model", "weights")]
    written = text_of(at(root, "model", "weights")) or "random"
    found: dict[int, Problem] = {}
    seen: set[tuple[bool, ...]] = set()
    for point in swept.points():
        random = (text_of(swept.node(weights[0], point)) if weights else written) == "random"
        enabled = tuple(_enabled(step, switches[step.index], swept, point) for step in steps)
        if not random or enabled in seen:
            continue
        seen.add(enabled)
        running = [step for step, on in zip(steps, enabled, strict=True) if on]
        for step in _untrained(running):
            found.setdefault(
                step.index, _out_of_order(step, parameters(_only_switches(swept, switches), point))
            )
    return list(found.values())


def _switch(swept: Sweep, step: StepNode) -> Assignment | None:
    return next((one for one in swept.of_step(step.index) if one.target.field == ("enabled",)), None)


def _only_switches(swept: Sweep, switches: dict[int, Assignment | None]) -> Sweep:
    return Sweep(swept.axes, tuple(one for one in swept.assignments if one in switches.values()))


def _enabled(step: StepNode, switch: Assignment | None, swept: Sweep, point: Point) -> bool:
    node = swept.node(switch, point) if switch else step.params.items.get("enabled")
    return not (isinstance(node, Scalar) and node.value is False)


def _untrained(running: Iterable[StepNode]) -> list[StepNode]:
    """The step that needs a trained model and has none: only the first, as fine-tuning it would train it."""
    for step in running:
        if step.cls is None or (step.cls.trains and not step.cls.needs_weights):
            return []
        if step.cls.needs_weights:
            return [step]
    return []


def _out_of_order(step: StepNode, switches: dict[str, object]) -> Problem:
    what = "needs a trained model, but nothing before it trains one"
    off = [path for path, value in switches.items() if value is False]
    if off:
        what += f" in trials where {' and '.join(off)} is false"
    allowed = "after a train step, or with model.weights pretrained or a file"
    return Problem(step.place, step.path, what, allowed)
