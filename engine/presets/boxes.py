"""Steps and data with boxes: what is for classifiers alone, and what for detectors alone, in any trial."""

from collections.abc import Iterator

from engine.errors import Problem
from engine.params import PruneBlocks, QuantizeDynamic, QuantizeQat, Step
from engine.params.catalog import DETECTION, DETECTOR
from engine.params.distillation import own_teachers
from engine.params.preset import Settings
from engine.params.training import Training
from engine.presets.steps import StepNode
from engine.presets.trials import Built


def has_boxes(settings: Settings) -> bool:
    """Whether the trial's images have boxes to be found in them, rather than a class each."""
    return settings.data.name in DETECTION or settings.model.name.startswith(DETECTOR)


def boxes(nodes: list[StepNode], built: Built) -> list[Problem]:
    """Steps and parameters that do not go with the data of some trial; each step reported once."""
    problems: dict[int, Problem] = {}
    nodes = [node for node in nodes if node.cls is not None]
    for settings, steps in zip(built.settings, built.steps, strict=True):
        for node, step in zip(nodes, steps, strict=True):
            problem = _problem(node, step, has_boxes(settings)) if step.enabled else None
            if problem is not None:
                problems.setdefault(node.index, problem)
    return list(problems.values())


def _problem(node: StepNode, step: Step, found: bool) -> Problem | None:
    def of(name: str, what: str, allowed: str) -> Problem:
        first = name.partition(".")[0]
        place = node.params.key_place(first) if first in node.params.items else node.place
        return Problem(place, f"{node.path}.{name}", what, allowed)

    if found and isinstance(step, Training) and step.label_smoothing:
        return of("label_smoothing", "given for data with boxes", "0, or data with a class per image")
    for name, training in _trainings(step) if not found else ():
        if training.mosaic is not None:
            return of(f"{name}mosaic", "given for data without boxes", "none, or data with boxes")
    if found and isinstance(step, QuantizeQat):
        what = "given for data with boxes, whose loss needs what comes before boxes are decoded"
        return Problem(node.place, node.path, what, "quantize.static, which needs no training")
    if found and isinstance(step, PruneBlocks):
        what = "given for data with boxes: blocks are chosen by class probabilities, which a detector does not give"
        return Problem(node.place, node.path, what, "prune.channels")
    if found and isinstance(step, QuantizeDynamic) and not step.convolutions:
        what = "changes linear layers alone, of which a detector has none"
        return of("convolutions", what, "true, or quantize.static instead")
    return None


def _trainings(step: Step) -> Iterator[tuple[str, Training]]:
    """The trainings in a step, each with what the paths of its parameters begin with: its own and its teacher's."""
    if isinstance(step, Training):
        yield "", step
    for teacher in own_teachers([step]):
        if teacher.train is not None:
            yield "teacher.train.", teacher.train
