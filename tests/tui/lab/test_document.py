"""The preset being edited: its forms, undo, and saving. What edits do is in tests/engine/presets/test_edits.py."""

from pathlib import Path
from typing import Any

import pytest

from engine.errors import UsageError
from engine.plotting.figure import Figure
from engine.presets import edits, shipped, spec
from engine.presets.addresses import value_at
from engine.presets.edits import Edit
from engine.presets.steps import Address
from engine.presets.yaml.tree import node_of
from engine.results.estimates import History
from tests.engine.presets.test_edits import QUICK
from tui.lab.check import completed, valid, validate
from tui.lab.document import Document, typed_path
from tui.lab.fields import SECTIONS, fields_of, problems_at, said_at, says
from tui.lab.outline import items
from tui.lab.review import sections
from tui.work import charts

SPARSITY = Address(1, "sparsity")


def put(address: Address, value: object) -> Edit:
    return lambda root: edits.put(root, address, node_of(value))


def reset(address: Address) -> Edit:
    return lambda root: edits.reset(root, address)


def switch(step: int) -> Edit:
    return lambda root: edits.switch_step(root, step)


@pytest.fixture
def quickstart() -> Document:
    return Document.open(shipped.find("quickstart"))


def test_what_is_opened_means_the_same_as_the_file(quickstart: Document) -> None:
    spec, problems = validate(quickstart.root, "quickstart", quickstart.folder)
    assert not problems
    assert spec is not None
    assert len(spec.trials) == 14
    assert not quickstart.dirty
    assert quickstart.diff() == []


def test_a_range_stays_a_range_through_edit_and_save(tmp_path: Path) -> None:
    document = Document.open(shipped.find("local-vs-global"))
    document.change(put(Address(0, "epochs"), 3), "epochs")
    document.save_as(tmp_path / "mine")
    assert "0..0.9 by 0.1" in (tmp_path / "mine.yaml").read_text()


def test_a_variant_shows_its_own_fields_and_keeps_what_it_shares(quickstart: Document) -> None:
    assert "schedule.rounds" not in [field.label for field in fields_of(quickstart.root, 1)]
    root = put(Address(1, "schedule"), "linear")(quickstart.root)
    root = put(Address(1, "schedule.rounds"), 7)(root)
    root = put(Address(1, "schedule"), "cubic")(root)
    assert value_at(root, Address(1, "schedule")) == {"kind": "cubic", "rounds": 7}
    shown = {field.label: field for field in fields_of(root, 1)}
    assert shown["schedule"].current == "cubic"
    assert shown["schedule.rounds"].text == "7"
    root = put(Address(1, "schedule"), "one-shot")(root)
    assert "schedule.rounds" not in [field.label for field in fields_of(root, 1)]
    assert validate(root, "q", None)[0] is not None


def test_an_optional_group_stays_on_without_values_of_its_own(quickstart: Document) -> None:
    root = quickstart.root
    for name in ("runtimes", "batch", "blocks", "block_ms", "warmup_ms"):
        root = edits.reset(root, Address(None, f"measure.latency.{name}"))
    assert root.plain()["measure"]["latency"] == {}
    off = edits.reset(root, Address(None, "measure.latency"))
    assert [field.label for field in fields_of(off, "measure")] == ["latency", "size"]


def test_what_a_group_without_a_line_holds_is_named_with_it_and_is_no_part_of_the_line_above() -> None:
    root = Document.open(shipped.find("search-quickstart")).root
    root = put(Address(None, "search.fastest.batch"), 4)(root)
    said = {field.label: (field.name, len(field.groups)) for field in fields_of(root, "search")}
    assert said["budget.trials"] == ("budget.trials", 0)
    assert said["fastest.batch"] == ("batch", 1)
    study = {field.label: field.name for field in fields_of(root, "study")}
    assert study["distributed.processes"] == "distributed.processes"


def test_an_unknown_parameter_is_shown_and_can_be_removed(quickstart: Document) -> None:
    root = put(Address(0, "epoch"), 3)(quickstart.root)
    _, problems = validate(root, "q", None)
    field = fields_of(root, 0)[-1]
    assert says(problems_at(root, field, problems)[0]).startswith("is unknown")
    assert edits.reset(root, field.address).plain() == quickstart.plain


@pytest.mark.parametrize(
    ("address", "given", "told"),
    [
        (Address(1, "sparsity"), 1.5, "given 1.5; allowed: a number ≥ 0 and < 1"),
        (Address(0, "epochs"), "ten", "given 'ten'; allowed: a whole number"),
        (Address(None, "data.name"), "digit", "did you mean digits?"),
        (Address(None, "threads"), 0, "given 0"),
    ],
)
def test_a_problem_is_told_at_its_own_field_only(
    quickstart: Document, address: Address, given: object, told: str
) -> None:
    quickstart.change(put(address, given), "put")
    root = quickstart.root
    _, problems = validate(root, "q", None)
    owners = [*SECTIONS, 0, 1, 2]
    at = [
        (field.address, says(problem))
        for owner in owners
        for field in fields_of(root, owner)
        for problem in problems_at(root, field, problems)
    ]
    assert [place for place, _ in at] == [address]
    assert told in at[0][1]


LAYERS = Address(1, "layers")


@pytest.mark.parametrize(
    "values", [{"conv1": 0.2, "layer1.0.conv1": "x"}, [{"conv1": 0.5}, {"layer1.0.conv1": "x"}]]
)
def test_a_wrong_entry_of_a_mapping_is_told_at_its_field_by_its_name(
    quickstart: Document, values: Any
) -> None:
    root = edits.reset(quickstart.root, Address(1, "sparsity"))
    root = (
        edits.sweep(root, LAYERS, node_of(values)) if isinstance(values, list) else put(LAYERS, values)(root)
    )
    _, problems = validate(root, "q", None)
    fields = {field.address: said_at(root, field, problems) for field in fields_of(root, 1)}
    told = {address: each for address, said in fields.items() for each in said if "'x'" in each}
    assert told == {LAYERS: "layer1.0.conv1: given 'x'; allowed: a number ≥ 0 and < 1"}


def test_a_search_is_shown_and_made_in_its_form(quickstart: Document) -> None:
    said = {item.key: item for item in items(quickstart.root)}
    assert said["search"].value == "off"
    document = Document.open(shipped.find("search-quickstart"))
    said = {item.key: item for item in items(document.root)}
    assert said["search"].value == "smallest size.packed, 16 trials"
    assert said["sweep"].label == "Sweep: nothing, the search chooses"
    fields = {field.label: field for field in fields_of(document.root, "search")}
    assert fields["within"].text == "accuracy: -2 points"
    assert fields["smallest"].cycles and not fields["over"].cycles  # its steps would be lost by a key
    named = {name for name, _ in sections(spec.read(shipped.find("search-quickstart")))}
    assert "search" in named


def test_a_sweep_of_many_values_does_not_hide_what_else_a_study_has(tmp_path: Path) -> None:
    file = tmp_path / "many.yaml"
    file.write_text(
        "model: {name: resnet20}\ndata: {name: digits}\nsteps:\n- train: {}\n- prune.weights: {}\n"
        "sweep: {prune.weights.sparsity: 0..0.99 by 0.01}\n"
    )
    values = [
        value for _, entries in sections(spec.read(file)) for name, value, _ in entries if "spars" in name
    ]
    assert values == ["0, 0.01, 0.02, 0.03, 0.04, 0.05, …, 0.99 (100 values)"] * 2


def test_undo_goes_back_to_the_start_and_redo_to_the_end(quickstart: Document) -> None:
    first = quickstart.plain
    quickstart.change(switch(2), "switch off finetune")
    quickstart.change(lambda root: edits.remove_step(root, 0), "remove train")
    last = quickstart.plain
    assert quickstart.undo() == "remove train"
    assert quickstart.undo() == "switch off finetune"
    assert quickstart.undo() is None
    assert quickstart.plain == first
    assert not quickstart.dirty
    quickstart.redo()
    quickstart.redo()
    assert quickstart.redo() is None
    assert quickstart.plain == last


def test_typing_in_one_field_is_one_change(quickstart: Document) -> None:
    first = quickstart.plain
    for value in (1, 12, 120):
        quickstart.change(put(Address(0, "epochs"), value), "epochs", "0.epochs")
    quickstart.close_change()
    quickstart.change(put(Address(0, "epochs"), 5), "epochs", "0.epochs")
    quickstart.undo()
    assert value_at(quickstart.root, Address(0, "epochs")) == 120
    quickstart.undo()
    assert quickstart.plain == first


def test_a_change_after_undo_forgets_what_was_undone(quickstart: Document) -> None:
    quickstart.change(switch(2), "off")
    quickstart.undo()
    quickstart.change(switch(0), "off")
    assert quickstart.redo() is None


def test_the_diff_shows_the_change_alone(quickstart: Document) -> None:
    quickstart.change(put(Address(0, "epochs"), 3), "epochs")
    changed = [line for line in quickstart.diff() if line[0] in "+-" and line[:3] not in ("+++", "---")]
    assert changed == [
        "-- train: {epochs: 12, learning_rate: 0.2, batch: 128}",
        "+- train: {epochs: 3, learning_rate: 0.2, batch: 128}",
    ]


def test_a_shipped_preset_is_never_overwritten(quickstart: Document, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        quickstart.save()
    with pytest.raises(UsageError):
        quickstart.save_as(shipped.FOLDER / "mine.yaml")
    quickstart.save_as(tmp_path / "sub" / "mine")
    assert quickstart.path == tmp_path / "sub" / "mine.yaml"
    assert quickstart.name == "mine"
    quickstart.save()
    assert Document.open(quickstart.path).plain == quickstart.plain


def test_saving_elsewhere_keeps_finding_the_files_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "w.safetensors").touch()
    source = tmp_path / "a" / "p.yaml"
    source.write_text(
        "model: {name: resnet20, weights: w.safetensors}\ndata: {name: digits}\nsteps: [finetune]\n"
    )
    document = Document.open(source)
    document.save_as(tmp_path / "b" / "p.yaml")
    assert document.plain["model"]["weights"] == str(tmp_path / "a" / "w.safetensors")
    assert not document.dirty


def test_a_file_changed_by_somebody_else_is_noticed(tmp_path: Path, quickstart: Document) -> None:
    quickstart.save_as(tmp_path / "mine.yaml")
    assert not quickstart.changed_on_disk()
    (tmp_path / "mine.yaml").write_text("about: other\n")
    assert quickstart.changed_on_disk()
    (tmp_path / "mine.yaml").unlink()
    assert quickstart.changed_on_disk()


@pytest.mark.parametrize(
    "text", ["", "just text", "steps: train", "steps: [{train: 1}]", "model: resnet20", "a: [", "sweep: [1]"]
)
def test_a_file_no_form_can_show_is_refused_with_a_reason(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        Document.open(path)
    assert refused.value.detail


def test_a_preset_with_wrong_values_opens_so_that_they_can_be_mended(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "model: {name: nope}\ndata: {}\nsteps: [{cut: {}}, train]\nsweep: {nothing.here: [1, 2]}\n"
    )
    document = Document.open(path)
    _, problems = validate(document.root, "wrong", None)
    assert {problem.path for problem in problems} >= {"model.name", "steps[0].cut", "sweep.nothing.here"}
    assert fields_of(document.root, 0) == []


def test_half_typed_values_leave_no_traces(quickstart: Document) -> None:
    """Replacing `0, 0.3, …` by `0, 0.5` passes through `0`, which is no sweep and has no plot along it."""
    quickstart.change(put(SPARSITY, 0), "sparsity", "sparsity")
    assert "plot" not in quickstart.plain
    quickstart.change(reset(SPARSITY), "sparsity", "sparsity")
    quickstart.change(lambda root: edits.sweep(root, SPARSITY, node_of([0, 0.5])), "sparsity", "sparsity")
    assert quickstart.plain["plot"]["x"] == "prune.weights.sparsity"
    assert quickstart.undo() == "sparsity"
    assert not quickstart.dirty


def test_typing_back_to_what_was_there_is_no_change(quickstart: Document) -> None:
    for epochs in (1, 12):
        quickstart.change(put(Address(0, "epochs"), epochs), "epochs", "e")
    assert not quickstart.dirty
    assert quickstart.undo() is None


def with_quick(folder: Path) -> Document:
    file = folder / "q.yaml"
    file.write_text(QUICK)
    return Document.open(file)


def test_the_quick_section_survives_opening_editing_and_saving(tmp_path: Path) -> None:
    document = with_quick(tmp_path)
    section = document.plain["quick"]
    document.change(put(Address(0, "epochs"), 5), "epochs")
    document.save_as(tmp_path / "other" / "saved.yaml")
    assert Document.open(tmp_path / "other" / "saved.yaml").plain["quick"] == section
    spec, problems = validate(document.root, "q", None)
    assert not problems
    assert spec is not None
    assert spec.quick is not None
    assert len(spec.quick.trials) == 2


@pytest.mark.parametrize("model", ["resnet20", "own.py:build"])
def test_a_working_folder_that_was_removed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    document = Document.new()
    document.change(put(Address(None, "model.name"), model), "model")
    found = completed(valid(document.root, document.name, None, 0), History(tmp_path))
    assert found.unusable is not None and found.unusable.title == "The working folder is gone"
    with pytest.raises(UsageError, match="working folder is gone"):
        typed_path("a.yaml")
    with pytest.raises(UsageError, match="working folder is gone"):
        charts.write(Figure(), Path("a.csv"))
    assert typed_path(f"{tmp_path}/a.yaml") == tmp_path / "a.yaml"
