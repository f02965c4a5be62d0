"""Steps that learn from a teacher: whether there is one in every trial, and whether the task allows it."""

from engine.errors import Problem
from engine.params import Distill
from engine.params.distillation import BaselineTeacher, NoTeacher
from engine.params.preset import Settings
from engine.presets.boxes import has_boxes
from engine.presets.steps import StepNode
from engine.presets.trials import Built


def teachers(nodes: list[StepNode], built: Built) -> list[Problem]:
    """What is wrong with the teacher of each `distill` step in some trial; each step reported once."""
    problems: dict[int, Problem] = {}
    nodes = [node for node in nodes if node.cls is not None]
    for settings, steps in zip(built.settings, built.steps, strict=True):
        trained = settings.model.weights != "random"
        baseline, compressed = trained, False
        for node, step in zip(nodes, steps, strict=True):
            if not step.enabled:
                continue
            compressed |= step.compresses
            problem = _problem(node, step, settings, baseline) if isinstance(step, Distill) else None
            if problem is not None:
                problems.setdefault(node.index, problem)
            trained |= step.trains
            if not compressed:
                baseline = trained
    return list(problems.values())


def _problem(node: StepNode, step: Distill, settings: Settings, baseline: bool) -> Problem | None:
    if isinstance(step.teacher, NoTeacher):
        return None
    place = node.params.key_place("teacher") if "teacher" in node.params.items else node.place
    path = f"{node.path}.teacher"
    if has_boxes(settings):
        return Problem(place, path, "given for data with boxes", "data with a class per image, or none")
    if isinstance(step.teacher, BaselineTeacher) and not baseline:
        what = "is baseline, but nothing trains the model before the first compression and before this step"
        return Problem(place, path, what, "after a train step, or another teacher: {kind: model, name: …}")
    return None
