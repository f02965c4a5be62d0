"""`--set PATH=VALUE` and the lab's form are two ways to the same edits: the same document comes out of either."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from engine.params.rows import Row
from engine.presets import overrides, shipped
from engine.presets.addresses import path_of
from engine.presets.steps import Unknown, normalise
from engine.presets.yaml.tree import Mapping, load
from tui.lab.document import Document, enter
from tui.lab.fields import SECTIONS, SWITCH, Field, choice, fields_of
from tui.lab.text import SINGLE, Default, Fixed, Swept, Typed, read, text_of

EDITS = 40
OTHERS = {
    "zipped": """\
model: {name: resnet20}
data: {name: digits}
steps:
- train
- prune.weights: {id: cut, schedule: {kind: cubic, rounds: 5}}
- finetune: {id: tune}
- prune.weights
sweep:
  zip: {variant: [a, b], cut.sparsity: [0, 0.5], tune.epochs: [1, 2]}
  cut.schedule: [linear, cubic]
  cut.schedule.rounds: [2, 3]
plot: {x: cut.schedule.rounds, by: variant, log: true}
quick: {train.epochs: 1, sweep.zip.tune.epochs: [1, 1], plot.x: cut.schedule.rounds}
""",
    "wrong": "model: {name: nope}\ndata: {}\nsteps: [{cut: {}}, train: {epoch: 1}]\nsweep: {no.where: [1], zip: 3}\n",
}
PRESETS = {preset.name: preset.path.read_text() for preset in shipped.shipped()} | OTHERS


def opened(text: str, folder: Path) -> Document:
    file = folder / "p.yaml"
    file.write_text(text)
    return Document.open(file)


def fields(document: Document) -> list[Field]:
    owners = [*SECTIONS, *range(len(document.plain["steps"]))]
    return [field for owner in owners for field in fields_of(document.root, owner)]


def value(row: Row, dice: random.Random) -> Any:
    """A value of about the kind that the row takes."""
    match row.type:
        case "choice":
            return dice.choice(row.choices)
        case "yes/no":
            return dice.choice([True, False])
        case "integer" | "number":
            return dice.choice([0, 1, 7, 0.5, 1e-3])
        case "list":
            return dice.sample(["conv1", "fc", "layer1"], dice.randint(1, 3))
        case "mapping":
            return {"width": dice.randint(1, 9)}
        case _:
            return dice.choice(["a", "b.pth", "two words"])


def an_edit(field: Field, path: str, dice: random.Random) -> tuple[Typed, str]:
    """The same edit as it is typed into the form and as it is given to `--set`."""
    row = field.row
    if row.path == "id":
        name = f"n{dice.random()}"  # `--set` can't tell steps of one name
        return Fixed(name), f"{path}={name}"
    if row.type == SWITCH:
        on = dice.random() < 0.5
        # The form starts a plot from what is swept; `--set plot={}` asks for an empty one.
        return (
            (choice(field, "on"), f"{path}={{}}")
            if on and path != "plot"
            else (choice(field, "off"), f"{path}=null")
        )
    if row.optional and row.default is None and dice.random() < 0.2:
        return Default(), f"{path}=null"
    if field.sweepable and row.type in SINGLE and not row.listable and dice.random() < 0.4:
        values = [value(row, dice) for _ in range(dice.randint(1, 3))]
        return Swept(values), f"sweep.{path}={json.dumps(values)}"
    one = value(row, dice)
    text = text_of(one)
    return read(row, text), f"{path}={text if row.type in SINGLE else json.dumps(one)}"


@pytest.mark.parametrize("name", PRESETS)
def test_the_form_and_set_give_the_same_document_and_undo_takes_it_back(name: str, tmp_path: Path) -> None:
    dice = random.Random(name)
    document = opened(PRESETS[name], tmp_path)
    states = [repr(document.plain)]  # keys in their order, as a file has them
    for _ in range(EDITS):
        field = dice.choice([one for one in fields(document) if one.row.type != "anything"])
        typed, given = an_edit(field, path_of(document.root, field.address), dice)
        by_set, problems = overrides.apply(document.root, [given])
        try:
            changed = document.change(lambda root: enter(root, field.address, typed), given)  # noqa: B023
        except Unknown as refused:
            assert problems, f"only the form refuses {given}: {refused}"
            continue
        if problems:
            assert (typed, changed) == (Default(), False), f"only --set refuses {given}: {problems}"
            continue
        assert repr(document.plain) == repr(by_set.plain()), given
        states += [repr(document.plain)] if changed else []
    while states:
        assert repr(document.plain) == states.pop()
        document.undo()
    assert not document.dirty
    root, _ = load(PRESETS[name], str)
    assert isinstance(root, Mapping)
    assert document.plain == normalise(root).plain()
