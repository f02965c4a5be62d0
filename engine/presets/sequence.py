"""Steps one after the other: what no network could take is told before anything is computed.

Steps declare what they lay over weights and would undo (`engine.params.base.StepParams`), and a step refuses such
layers when it meets them (`engine.compute.layers.overlays`). Here only what is certain from the preset is told: the
second step skips no layers and works on one that has what the first made (on all, or the first gave it to all), and
none between them makes the weights plain again.
"""

from engine.errors import Problem
from engine.params import STEPS, Sensitivity, Step
from engine.params.catalog import GIVEN_BY_NAME
from engine.params.overlays import Overlay
from engine.presets.steps import StepNode
from engine.presets.trials import Built
from engine.presets.wording import given
from engine.presets.yaml.tree import at


def clashes(nodes: list[StepNode], built: Built) -> list[Problem]:
    """Steps that meet weights which they can't change, in some trial; each step reported once."""
    problems: dict[int, Problem] = {}
    nodes = [node for node in nodes if node.cls is not None]
    for steps in built.steps:
        everywhere: set[Overlay] = set()
        somewhere: set[Overlay] = set()
        for node, step in zip(nodes, steps, strict=True):
            if not step.enabled:
                continue
            present = somewhere if step.works_on_all else everywhere
            met = [overlay for overlay in _sure_to_undo(step) if overlay in present]
            if met:
                problems.setdefault(node.index, _problem(node, step, met[0]))
            everywhere -= step.clears
            # The few layers that have one may be dropped or split.
            somewhere = somewhere & everywhere if step.renames else somewhere - step.clears
            if step.makes is not None:
                somewhere.add(step.makes)
                everywhere |= {step.makes} if step.makes_everywhere else set()
    return list(problems.values())


def beyond_tables(nodes: list[StepNode], built: Built) -> list[Problem]:
    """Steps that take away by a table (`scope: solved`) more than it tells of any layer, in some trial; each reported
    once. What weights have lost before is not told here, so of weights that come with zeros nothing is sure."""
    problems: dict[int, Problem] = {}
    nodes = [node for node in nodes if node.cls is not None]
    for settings, steps in zip(built.settings, built.steps, strict=True):
        tables: dict[str, Sensitivity] = {}
        dense = settings.model.weights in GIVEN_BY_NAME
        for node, step in zip(nodes, steps, strict=True):
            if not step.enabled:
                continue
            if isinstance(step, Sensitivity):
                tables[step.of] = step
            elif step.by_table is not None and step.rates_of in tables:
                (field, share), table = step.by_table, tables[step.rates_of]
                most, told = table.furthest
                if share > most and (dense or step.makes is not Overlay.MASK):
                    value = at(node.params, field)
                    what = f"takes more away, with scope solved, than {table.address} measures"
                    what = what if value is None else f"{given(value)}, which {what}"
                    place, path = (value or node).place, f"{node.path}.{field}"
                    problems.setdefault(node.index, Problem(place, path, what, f"no more than at {told}"))
            dense &= step.makes is not Overlay.MASK
    return list(problems.values())


def _sure_to_undo(step: Step) -> list[Overlay]:
    if step.skips and step.spares_skipped:
        return []
    return [overlay for overlay in step.undoes if overlay not in step.may_avoid]


def _problem(node: StepNode, step: Step, met: Overlay) -> Problem:
    earlier = next(kind for kind, cls in STEPS.items() if cls.makes is met)
    what = f"cannot change weights to which {earlier} before it gave {met.value}"
    either = "one of the two steps" if met in step.never_with else f"{node.kind} before {earlier}"
    otherwise = ", or layers named in skip" if step.spares_skipped else ""
    return Problem(node.place, node.path, what, f"{either}{otherwise}")
