"""Checks across a preset's sections: names that must exist, and steps in an order that can work."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import PurePath

from engine.errors import Problem
from engine.measures import latency
from engine.measures.table import TABLE, drawn
from engine.params import STEPS, Factorize, Sensitivity
from engine.params.catalog import DATASETS, DETECTION, DETECTOR, GIVEN_BY_NAME, MODELS, OWN_DATA, own_code
from engine.params.preset import AUTO
from engine.params.search import MOST_ACCURATE
from engine.presets import limits, sweep
from engine.presets.files import is_address, looks_like_file
from engine.presets.steps import StepNode, steps_of
from engine.presets.trials import Assignment, Point, Sweep, assigned
from engine.presets.wording import given, text_of
from engine.presets.yaml.tree import Listing, Mapping, Node, Scalar, at
from engine.text.phrases import names, suggest

FOREIGN = {
    ".onnx": "an ONNX graph",
    ".h5": "Keras weights",
    ".hdf5": "Keras weights",
    ".keras": "a Keras model",
    ".tflite": "a TensorFlow Lite model",
    ".pb": "a TensorFlow graph",
    ".npz": "NumPy arrays",
    ".npy": "a NumPy array",
    ".engine": "a TensorRT engine",
    ".mlmodel": "a Core ML model",
    ".mlpackage": "a Core ML model",
    ".xml": "an OpenVINO model",
}
"""Files of other programs, by suffix; those with a suffix of PyTorch's are told by their content when read."""
GOALS = tuple(name for name in drawn("plot") if TABLE[name].better == "lower" and name != "loss")
LIKE_OWN_CODE = ".py:"
"""What a name holds that was meant to be the user's own code."""
SENSITIVITY = Sensitivity.kind
OF_DEFAULT: str = Sensitivity.model_fields["of"].default
RATES_OF = {kind: cls.rates_of for kind, cls in STEPS.items() if cls.rates_of}
"""Steps whose scopes `BY_TABLE` take rates from an earlier `sensitivity` step, and what that must have measured."""
BY_TABLE = ("sensitivity", "solved")


def named(root: Mapping, swept: Sweep) -> list[Problem]:
    """Model, data set, weights and plot must name something there is."""
    problems: list[Problem] = []
    for node in _values(root, swept, "model.name"):
        problems += _name(
            node, (*MODELS, AUTO), "a model: resnet20, torchvision/NAME or path/file.py:function"
        )
    for node in _values(root, swept, "data.name"):
        problems += _name(node, DATASETS, "a data set: see `secateur data list`, or path/file.py:function")
    for node in _values(root, swept, "model.weights"):
        problems += _weights(node)
    return (
        problems
        + _nameless(root, swept)
        + _image_folder(root, swept)
        + _task(root, swept)
        + _plot(root, swept)
        + _one_of(at(root, "pick", "by"), (*GOALS, MOST_ACCURATE), "what a model can have least of")
        + limits.problems(root.items.get("pick"), "limits")
    )


def _values(root: Mapping, swept: Sweep, path: str) -> list[Node]:
    """Every value a setting takes: the one written, and those of the sweep."""
    written = at(root, *path.split("."))
    values = [] if written is None else [written]
    for one in swept.assignments:
        if one.target.keys == tuple(path.split(".")):
            values += [point[one.column] for point in swept.axes[one.axis].points]
    return values


def _name(node: Node, known: tuple[str, ...], allowed: str) -> list[Problem]:
    name = text_of(node)
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or name in known:
        return []
    if own_code(name):
        return []
    if LIKE_OWN_CODE in name:
        allowed = "path/file.py:function, the function by its name"
        return [Problem(node.place, node.path, given(node), allowed)]
    hint = suggest(name, known)
    if name.endswith(".py"):
        hint = f"add the function: {name}:FUNCTION"
    return [Problem(node.place, node.path, given(node), allowed, hint)]


def _weights(node: Node) -> list[Problem]:
    text = text_of(node)
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        return []
    allowed = "random, pretrained, or a path: a state_dict (.pth, .safetensors, …) or a checkpoint's folder"
    if text in GIVEN_BY_NAME:
        return []
    if is_address(text):
        hint = "nothing is downloaded: fetch the file, and name it"
        return [Problem(node.place, node.path, "given an address in the internet", allowed, hint)]
    if looks_like_file(text):
        what = FOREIGN.get(PurePath(text).suffix.lower())
        return [Problem(node.place, node.path, f"given {what}: {text}", allowed)] if what else []
    hint = suggest(text, GIVEN_BY_NAME) or f"a folder: {text}/"
    return [Problem(node.place, node.path, given(node), allowed, hint)]


def _nameless(root: Mapping, swept: Sweep) -> list[Problem]:
    """A model without a name, or named `auto`, in a trial whose weights are no file to recognize it by."""
    if not isinstance(root.items.get("model"), Mapping):
        return []
    name, weights = at(root, "model", "name"), at(root, "model", "weights")
    swept_by = {one.target.keys: one for one in swept.assignments}
    by_name, by_weights = swept_by.get(("model", "name")), swept_by.get(("model", "weights"))
    for point in swept.points():
        here = swept.node(by_name, point) if by_name else name
        if here is not None and text_of(here) != AUTO:
            continue
        text = text_of(swept.node(by_weights, point) if by_weights else weights) or "random"
        if text in GIVEN_BY_NAME:
            return [_no_name(root, here, text)]
    return []


def _no_name(root: Mapping, name: Node | None, weights: str) -> Problem:
    model = root.items.get("model", root)
    what = f"is auto, but weights are {weights}" if name is not None else "is missing"
    allowed = "a text, the model's name; or auto, with model.weights a file to recognize it by"
    return Problem((name or model).place, "model.name", what, allowed)


def _image_folder(root: Mapping, swept: Sweep) -> list[Problem]:
    own = [node for node in _values(root, swept, "data.name") if text_of(node) in OWN_DATA]
    if not own or _values(root, swept, "data.root"):
        return []
    return [Problem(own[0].place, "data.root", "is missing", OWN_DATA[text_of(own[0])])]


def _task(root: Mapping, swept: Sweep) -> list[Problem]:
    """Detectors need data with boxes, and such data a detector; where one of them is swept, the run tells."""
    models, sets = _values(root, swept, "model.name"), _values(root, swept, "data.name")
    if len(models) != 1 or len(sets) != 1:
        return []
    model, data = text_of(models[0]), text_of(sets[0])
    detector, boxes = model.startswith(DETECTOR), data in DETECTION
    if model not in MODELS or data not in DATASETS or detector == boxes:
        return []
    allowed = f"a detector such as {DETECTOR}yolov8n, because {data} has boxes"
    if detector:
        allowed = f"a classifier, because {data} has no boxes ({' and '.join(DETECTION)} have)"
    return [Problem(models[0].place, models[0].path, given(models[0]), allowed)]


def _plot(root: Mapping, swept: Sweep) -> list[Problem]:
    axes = sweep.column_names(root.items.get("sweep"))
    seeds = root.items.get("seed")
    if isinstance(seeds, Listing) and len(seeds.items) > 1 and "seed" not in axes:
        axes = (*axes, "seed")
    rates = _rates(root)
    if text_of(at(root, "plot", "x")) in rates:
        problems = _one_of(at(root, "plot", "y"), drawn("rate"), "a measure of each layer")
        return problems + _each_of(at(root, "plot", "by"), ("layer",), "of a sensitivity")
    x, y = at(root, "plot", "x"), at(root, "plot", "y")
    of_rows = any(latency.is_name(text_of(node)) for node in (x, y))
    numbers, dimensions = (latency.NUMBERS, latency.DIMENSIONS) if of_rows else ((), ())
    known = (*axes, *numbers, *drawn("plot"), *rates)
    problems = _one_of(x, known, "a swept parameter or a measure") + _one_of(y, drawn("plot"), "a measure")
    problems += _each_of(at(root, "plot", "by"), (*axes, *dimensions), "a swept parameter")
    return problems


def _rates(root: Mapping) -> tuple[str, ...]:
    """What a plot may call the rates of sensitivity steps: `rate` where there is one, else `ID.rate`."""
    steps = [step for step in steps_of(root)[0] if step.kind == SENSITIVITY]
    named = tuple(f"{step.id or step.kind}.rate" for step in steps)
    return ("rate", *named) if len(steps) == 1 else named


def _each_of(node: Node | None, known: tuple[str, ...], what: str) -> list[Problem]:
    """`_one_of` for a value or each of a list."""
    nodes = node.items if isinstance(node, Listing) else [node]
    return [problem for one in nodes for problem in _one_of(one, known, what)]


def _one_of(node: Node | None, known: tuple[str, ...], what: str) -> list[Problem]:
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or node.value in known:
        return []
    of_rows = latency.is_name(node.value) and latency.is_known(node.value)
    if of_rows and latency.parse(node.value).field in known:
        return []
    allowed = f"{what}: {names(known, most=20)}" if known else f"{what} (nothing is swept)"
    return [Problem(node.place, node.path, given(node), allowed, suggest(node.value, known))]


def order(root: Mapping, steps: list[StepNode], swept: Sweep) -> list[Problem]:
    """Steps that need trained weights or rates which no step before them gives, in some trial; each reported once."""
    switches = {step.index: _assignment(swept, step, "enabled") for step in steps}
    weights = [one for one in swept.assignments if one.target.keys == ("model", "weights")]
    written = text_of(at(root, "model", "weights")) or "random"
    problems: dict[int, Problem] = {}
    seen: set[tuple[bool, ...]] = set()
    for point in swept.points():
        random = (text_of(swept.node(weights[0], point)) if weights else written) == "random"
        enabled = tuple(_enabled(step, switches[step.index], swept, point) for step in steps)
        if not random or enabled in seen:
            continue
        seen.add(enabled)
        running = [step for step, on in zip(steps, enabled, strict=True) if on]
        for step in _untrained(running):
            problems.setdefault(
                step.index, _out_of_order(step, assigned(_only_switches(swept, switches), point))
            )
    return [*problems.values(), *_without_rates(steps, swept), *_followed(steps, swept)]


def _followed(steps: list[StepNode], swept: Sweep) -> list[Problem]:
    """Steps that must be the last and are followed by another, in some trial; each reported once."""
    ending = [step for step in steps if step.cls is not None and step.cls.last]
    problems: dict[int, Problem] = {}
    for point in swept.points() if ending else ():
        running = [s for s in steps if _enabled(s, _assignment(swept, s, "enabled"), swept, point)]
        for step, after in pairwise(running):
            if step in ending:
                what = f"leaves what no later step can change, but {after.id or after.kind} follows"
                problem = Problem(step.place, step.path, what, "as the last step of a trial")
                problems.setdefault(step.index, problem)
    return list(problems.values())


def _without_rates(steps: list[StepNode], swept: Sweep) -> list[Problem]:
    """Steps that take rates from a sensitivity step and have none of their network before them, in some trial; each
    reported once."""
    wanting = [step for step in steps if step.kind in RATES_OF and {*BY_TABLE} & {*_scopes(step, swept)}]
    problems: dict[int, Problem] = {}
    for point in swept.points() if wanting else ():
        since: dict[str, str] = {}  # what was measured: the step that has made the network another one since
        scheme = ""  # of what was measured of ranks
        for step in steps:
            if not _enabled(step, _assignment(swept, step, "enabled"), swept, point):
                continue
            if step.kind == SENSITIVITY:
                of = text_of(_value(swept, step, "of", point)) or OF_DEFAULT
                since[of] = ""
                scheme = _scheme(step, swept, point) if of == RATES_OF[Factorize.kind] else scheme
            elif step in wanting:
                scope, of = _value(swept, step, "scope", point), RATES_OF[step.kind]
                if scope is None or text_of(scope) not in BY_TABLE:
                    pass
                elif (changed := since.get(of)) != "":
                    problems.setdefault(step.index, _no_rates(scope, of, changed))
                elif step.cls is Factorize and (own := _scheme(step, swept, point)) != scheme:
                    problems.setdefault(step.index, _other_scheme(scope, scheme, own))
            if _reshapes(step, swept, point):
                since = {of: changed or step.id or step.kind for of, changed in since.items()}
    return list(problems.values())


def _reshapes(step: StepNode, swept: Sweep, point: Point) -> bool:
    """Whether layers are sure to have other shapes behind the step, whichever a sensitivity step measured."""
    if step.cls is None or not step.cls.changes_layers():
        return False
    some = any(_value(swept, step, name, point) is not None for name in ("skip", "layers"))
    ratio = _value(swept, step, "ratio", point)
    return not some and not (isinstance(ratio, Scalar) and ratio.value == 0)


def _scopes(step: StepNode, swept: Sweep) -> list[str]:
    """Every scope of a step, in whichever trial."""
    one = _assignment(swept, step, "scope")
    if one is None:
        return [text_of(step.params.items.get("scope"))]
    return [text_of(point[one.column]) for point in swept.axes[one.axis].points]


def _no_rates(scope: Node, of: str, changed: str | None) -> Problem:
    what, where = f"but no step before it measures the sensitivity of {of}", "after a step"
    if changed:
        what = f"but {changed} makes another network of the one that the sensitivity of {of} was measured on"
        where = f"after {changed} and a step behind it"
    return Problem(
        scope.place,
        scope.path,
        f"given {text_of(scope)}, {what}",
        f"{where} `sensitivity: {{of: {of}}}`",
    )


def _scheme(step: StepNode, swept: Sweep, point: Point) -> str:
    assert step.cls is not None
    return text_of(_value(swept, step, "scheme", point)) or str(step.cls.model_fields["scheme"].default)


def _other_scheme(scope: Node, measured: str, own: str) -> Problem:
    what = f"but the sensitivity of rank is measured with the scheme {measured}, not {own}"
    allowed = f"with scheme: {measured}, or behind `sensitivity: {{of: rank, scheme: {own}}}`"
    return Problem(scope.place, scope.path, f"given {text_of(scope)}, {what}", allowed)


def _assignment(swept: Sweep, step: StepNode, name: str) -> Assignment | None:
    return next((one for one in swept.of_step(step.index) if one.target.field == (name,)), None)


def _value(swept: Sweep, step: StepNode, name: str, point: Point) -> Node | None:
    """What a step's parameter is at a point, swept or written; None where it is left at its default."""
    one = _assignment(swept, step, name)
    return swept.node(one, point) if one else step.params.items.get(name)


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
