"""Studies of different kinds over one pair of axes: what both have is drawn, and what is not is said."""

from engine.charts.together import comparable
from engine.charts.trials import figure
from engine.testing.events import measures, study

PRUNED = study(
    ({"prune.weights.sparsity": 0.5}, measures(0.9, 50)),
    ({"prune.weights.sparsity": 0.9}, measures(0.8, 10)),
    name="pruned-1",
)
ROUNDED = study(({"quantize.weights.bits": 4}, measures(0.85, 20)), name="rounded-1")
STARTED = study(({"prune.weights.sparsity": 0.5}, None), name="started-1")


def test_studies_of_different_kinds_are_drawn_by_accuracy_along_size() -> None:
    found = comparable([PRUNED, ROUNDED], "prune.weights.sparsity", "accuracy", ["quantize.weights.bits"])
    assert (found.x, found.y, found.by) == ("size.packed", "accuracy", ("quantize.weights.bits",))
    assert found.notes == (
        "rounded-1 has no accuracy along prune.weights.sparsity: all are drawn by accuracy along size.packed",
    )
    drawn = figure(found.states, found.x, found.y, found.by)
    assert sum(len(line.points) for line in drawn.series) == 3


def test_a_study_without_results_waits_and_blanks_nothing() -> None:
    found = comparable([PRUNED, STARTED], "prune.weights.sparsity", "accuracy")
    assert list(found.states) == [PRUNED] and found.x == "prune.weights.sparsity"
    assert "started-1: No trial is finished yet" in found.notes[0]


def test_what_no_study_has_stays_chosen_so_that_drawing_it_says_what_there_is() -> None:
    found = comparable([PRUNED, ROUNDED], "nonsense", "accuracy", ["nothing"])
    assert (found.x, found.by, found.notes) == ("nonsense", ("nothing",), ())
