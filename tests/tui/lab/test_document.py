"""The preset being edited: every edit, what it does to sweeps, undo, and saving."""

from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.params import STEPS
from engine.presets import shipped
from tui.lab import edits, tree
from tui.lab.check import validate
from tui.lab.document import Document
from tui.lab.fields import SECTIONS, fields_of, problems_at, says
from tui.lab.tree import Spot

SCOPE, SPARSITY = Spot(1, "scope"), Spot(1, "sparsity")


@pytest.fixture
def quickstart() -> Document:
    return Document.open(shipped.find("quickstart"))


def test_what_is_opened_means_the_same_as_the_file(quickstart: Document) -> None:
    spec, problems = validate(quickstart.plain, "quickstart", quickstart.folder)
    assert not problems
    assert spec is not None
    assert len(spec.trials) == 14
    assert not quickstart.dirty
    assert quickstart.diff() == []


def test_a_range_stays_a_range_through_edit_and_save(tmp_path: Path) -> None:
    document = Document.open(shipped.find("local-vs-global"))
    document.apply(edits.put(document.plain, Spot(0, "epochs"), 3), "epochs")
    document.save_as(tmp_path / "mine")
    assert "0..0.9 by 0.1" in (tmp_path / "mine.yaml").read_text()


def test_every_step_kind_can_be_added_and_shown_and_is_valid_before_or_after_the_pruning(
    quickstart: Document,
) -> None:
    for kind in STEPS:
        valid = []
        for place in (1, 3):
            plain, at = edits.add_step(quickstart.plain, kind, place)
            assert tree.steps(plain)[at][0] == kind
            assert fields_of(plain, at)
            valid.append(validate(plain, "q", None)[0] is not None)
        assert any(valid), kind


def test_a_copied_step_gets_a_name_of_its_own_and_sweeps_stay(quickstart: Document) -> None:
    plain, at = edits.duplicate_step(quickstart.plain, 1)
    assert at == 2
    assert tree.address(plain, 2) == "prune-weights-2"
    assert [axis.spot for axis in tree.axes(plain)] == [SCOPE, SPARSITY]
    assert validate(plain, "q", None)[0] is not None


def test_moving_a_step_takes_its_sweep_along(quickstart: Document) -> None:
    plain, _ = edits.duplicate_step(quickstart.plain, 1)
    plain, at = edits.move_step(plain, 1, 1)
    assert at == 2
    assert [axis.spot for axis in tree.axes(plain)] == [Spot(2, "scope"), Spot(2, "sparsity")]


def test_moving_past_either_end_stops_there(quickstart: Document) -> None:
    assert edits.move_step(quickstart.plain, 0, -1) == (quickstart.plain, 0)
    assert edits.move_step(quickstart.plain, 2, 5)[1] == 2


def test_renaming_a_step_renames_its_sweeps_and_the_plot(quickstart: Document) -> None:
    plain = edits.put(quickstart.plain, Spot(1, "id"), "cut")
    assert [axis.path for axis in tree.axes(plain)] == ["cut.scope", "cut.sparsity"]
    assert plain["plot"] == {"x": "cut.sparsity", "y": "accuracy", "by": "cut.scope"}
    assert validate(plain, "q", None)[0] is not None
    assert edits.reset(plain, Spot(1, "id")) == quickstart.plain


def test_removing_a_step_removes_its_sweeps_and_the_plot_along_them(quickstart: Document) -> None:
    plain = edits.remove_step(quickstart.plain, 1)
    assert "sweep" not in plain
    assert "plot" not in plain
    assert validate(plain, "q", None)[0] is not None


def test_a_step_switched_off_keeps_its_values_and_comes_back_as_it_was(quickstart: Document) -> None:
    off = edits.toggle_step(quickstart.plain, 2)
    spec, _ = validate(off, "q", None)
    assert spec is not None
    assert [step.kind for step in spec.trials[0].steps] == ["train", "prune.weights"]
    assert edits.toggle_step(off, 2) == quickstart.plain


def test_fixing_a_swept_value_ends_the_sweep_and_the_lines_by_it(quickstart: Document) -> None:
    plain = edits.put(quickstart.plain, SCOPE, "local")
    assert [axis.spot for axis in tree.axes(plain)] == [SPARSITY]
    assert plain["plot"] == {"x": "prune.weights.sparsity", "y": "accuracy"}
    assert tree.value(plain, SCOPE) == "local"


def test_sweeping_takes_the_fixed_value_away(quickstart: Document) -> None:
    plain = edits.put_axis(quickstart.plain, Spot(2, "epochs"), "1..3 by 1")
    assert "epochs" not in tree.steps(plain)[2][1]
    axis = tree.axis_at(plain, Spot(2, "epochs"))
    assert axis is not None
    assert tree.axis_values(axis) == [1, 2, 3]


def test_axes_can_vary_together_and_apart_again(quickstart: Document) -> None:
    plain = edits.put_axis(quickstart.plain, SCOPE, ["local", "global"])
    plain = edits.put_axis(plain, SPARSITY, [0.5, 0.9])
    both = edits.set_together(edits.set_together(plain, SCOPE, True), SPARSITY, True)
    spec, problems = validate(both, "q", None)
    assert spec is not None, problems
    assert len(spec.trials) == 2
    apart = edits.set_together(both, SCOPE, False)
    assert not problems_at(apart, fields_of(apart, 1)[0], ())
    single = edits.reset(both, SCOPE)
    assert single["sweep"] == {"prune.weights.sparsity": [0.5, 0.9]}


def test_a_variant_shows_its_own_fields_and_keeps_what_it_shares(quickstart: Document) -> None:
    assert "schedule.rounds" not in [field.label for field in fields_of(quickstart.plain, 1)]
    plain = edits.put(quickstart.plain, Spot(1, "schedule"), "linear")
    plain = edits.put(plain, Spot(1, "schedule.rounds"), 7)
    plain = edits.put(plain, Spot(1, "schedule"), "cubic")
    assert tree.value(plain, Spot(1, "schedule")) == {"kind": "cubic", "rounds": 7}
    shown = {field.label: field for field in fields_of(plain, 1)}
    assert shown["schedule"].current == "cubic"
    assert shown["schedule.rounds"].text == "7"
    plain = edits.put(plain, Spot(1, "schedule"), "one-shot")
    assert "schedule.rounds" not in [field.label for field in fields_of(plain, 1)]
    assert validate(plain, "q", None)[0] is not None


def test_resetting_the_last_value_of_a_group_removes_the_group(quickstart: Document) -> None:
    plain = edits.put(quickstart.plain, Spot(None, "executor.local.parallel"), 2)
    assert plain["executor"] == {"local": {"parallel": 2}}
    assert edits.reset(plain, Spot(None, "executor.local.parallel")) == quickstart.plain


def test_an_optional_group_stays_on_without_values_of_its_own(quickstart: Document) -> None:
    plain = quickstart.plain
    for name in ("runtimes", "batch", "blocks", "block_ms", "warmup_ms"):
        plain = edits.reset(plain, Spot(None, f"measure.latency.{name}"))
    assert plain["measure"]["latency"] == {}
    off = edits.reset(plain, Spot(None, "measure.latency"))
    assert [field.label for field in fields_of(off, "measure")] == ["latency", "size"]


def test_an_unknown_parameter_is_shown_and_can_be_removed(quickstart: Document) -> None:
    plain = edits.put(quickstart.plain, Spot(0, "epoch"), 3)
    _, problems = validate(plain, "q", None)
    field = fields_of(plain, 0)[-1]
    assert says(problems_at(plain, field, problems)[0]).startswith("is unknown")
    assert edits.reset(plain, field.spot) == quickstart.plain


@pytest.mark.parametrize(
    ("spot", "given", "told"),
    [
        (Spot(1, "sparsity"), 1.5, "given 1.5; allowed: a number ≥ 0 and < 1"),
        (Spot(0, "epochs"), "ten", "given 'ten'; allowed: a whole number"),
        (Spot(None, "data.name"), "digit", "did you mean digits?"),
        (Spot(None, "threads"), 0, "given 0"),
    ],
)
def test_a_problem_is_told_at_its_own_field_only(
    quickstart: Document, spot: Spot, given: object, told: str
) -> None:
    plain = edits.put(quickstart.plain, spot, given)
    _, problems = validate(plain, "q", None)
    owners = [*SECTIONS, 0, 1, 2]
    at = [
        (field.spot, says(problem))
        for owner in owners
        for field in fields_of(plain, owner)
        for problem in problems_at(plain, field, problems)
    ]
    assert [place for place, _ in at] == [spot]
    assert told in at[0][1]


def test_undo_goes_back_to_the_start_and_redo_to_the_end(quickstart: Document) -> None:
    first = quickstart.plain
    quickstart.apply(edits.toggle_step(first, 2), "switch off finetune")
    quickstart.apply(edits.remove_step(quickstart.plain, 0), "remove train")
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
        quickstart.apply(edits.put(quickstart.plain, Spot(0, "epochs"), value), "epochs", "0.epochs")
    quickstart.close_change()
    quickstart.apply(edits.put(quickstart.plain, Spot(0, "epochs"), 5), "epochs", "0.epochs")
    quickstart.undo()
    assert tree.value(quickstart.plain, Spot(0, "epochs")) == 120
    quickstart.undo()
    assert quickstart.plain == first


def test_a_change_after_undo_forgets_what_was_undone(quickstart: Document) -> None:
    quickstart.apply(edits.toggle_step(quickstart.plain, 2), "off")
    quickstart.undo()
    quickstart.apply(edits.toggle_step(quickstart.plain, 0), "off")
    assert quickstart.redo() is None


def test_the_diff_shows_the_change_alone(quickstart: Document) -> None:
    quickstart.apply(edits.put(quickstart.plain, Spot(0, "epochs"), 3), "epochs")
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
    _, problems = validate(document.plain, "wrong", None)
    assert {problem.path for problem in problems} >= {"model.name", "steps[0].cut", "sweep.nothing.here"}
    assert fields_of(document.plain, 0) == []


def test_half_typed_values_leave_no_traces(quickstart: Document) -> None:
    """Replacing `0, 0.3, …` by `0, 0.5` passes through `0`, which is no sweep and has no plot along it."""
    for typed in (0, None):
        merge = "sparsity"
        base = quickstart.before(merge)
        changed = edits.reset(base, SPARSITY) if typed is None else edits.put(base, SPARSITY, typed)
        quickstart.apply(changed, "sparsity", merge)
    quickstart.apply(
        edits.put_axis(quickstart.before("sparsity"), SPARSITY, [0, 0.5]), "sparsity", "sparsity"
    )
    assert quickstart.plain["plot"]["x"] == "prune.weights.sparsity"
    assert quickstart.undo() == "sparsity"
    assert not quickstart.dirty


def test_typing_back_to_what_was_there_is_no_change(quickstart: Document) -> None:
    for epochs in (1, 12):
        plain = edits.put(quickstart.before("e"), Spot(0, "epochs"), epochs)
        quickstart.apply(plain, "epochs", "e")
    assert not quickstart.dirty
    assert quickstart.undo() is None


WITH_QUICK = """\
model: {name: resnet20}
data: {name: fashion-mnist}
steps:
- train: {epochs: 10}
- prune.weights: {sparsity: 0.5}
- finetune: {epochs: 3}
quick: {data.name: digits, train.epochs: 1, finetune.epochs: 1, 'sweep.prune.weights.sparsity': [0, 0.5]}
"""


def with_quick(folder: Path) -> Document:
    file = folder / "q.yaml"
    file.write_text(WITH_QUICK)
    return Document.open(file)


def test_the_quick_section_survives_opening_editing_and_saving(tmp_path: Path) -> None:
    document = with_quick(tmp_path)
    section = document.plain["quick"]
    document.apply(edits.put(document.plain, Spot(0, "epochs"), 5), "epochs")
    document.save_as(tmp_path / "other" / "saved.yaml")
    assert Document.open(tmp_path / "other" / "saved.yaml").plain["quick"] == section
    spec, problems = validate(document.plain, "q", None)
    assert not problems
    assert spec is not None
    assert spec.quick is not None
    assert len(spec.quick.trials) == 2


def test_the_quick_section_follows_steps_to_their_new_names_and_drops_those_removed(tmp_path: Path) -> None:
    document = with_quick(tmp_path)
    plain = edits.put(document.plain, Spot(1, "id"), "cut")
    assert "sweep.cut.sparsity" in plain["quick"]
    plain = edits.remove_step(plain, 2)
    assert list(plain["quick"]) == ["data.name", "train.epochs", "sweep.cut.sparsity"]
    assert validate(plain, "q", None)[0] is not None
