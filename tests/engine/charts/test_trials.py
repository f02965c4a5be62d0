"""Figures from studies: names, lines, seeds and baselines."""

import statistics

import pytest

from engine.charts import trials as charts
from engine.charts.owner import owner_of
from engine.errors import UsageError
from engine.params.preset import Plot
from engine.results.summary import in_words, study_json
from engine.studies.state import StepState, StudyState
from engine.testing.events import finished, measures, planned, replayed, started, study
from tests.engine.results.test_searches import state as searched

SPARSITY, SCOPE = "prune.weights.sparsity", "prune.weights.scope"


def sweep() -> StudyState:
    return study(
        *(
            ({SCOPE: scope, SPARSITY: sparsity}, measures(1 - sparsity, nonzero=int(100 * (1 - sparsity))))
            for scope in ("local", "global")
            for sparsity in (0.5, 0.0)
        )
    )


def seeds() -> StudyState:
    found = {(0, 0.3): 0.8, (0, 0.5): 0.7, (1, 0.3): 0.9, (1, 0.5): 0.4}
    return study(*(({"seed": s, SPARSITY: x}, measures(value)) for (s, x), value in found.items()))


def test_a_line_for_each_value_and_points_in_the_order_of_x() -> None:
    figure = charts.figure([sweep()], SPARSITY, "accuracy", SCOPE)
    assert [line.name for line in figure.series] == ["local", "global"]
    for line in figure.series:
        assert [(point.x, point.y) for point in line.points] == [(0.0, 1.0), (0.5, 0.5)]


@pytest.mark.parametrize("name", ["sparsity", "weights.sparsity", SPARSITY])
def test_the_end_of_a_name_will_do(name: str) -> None:
    if name == "sparsity":  # a measure has this very name
        assert charts.figure([sweep()], name, "accuracy").x_measure == "sparsity"
    else:
        assert charts.figure([sweep()], name, "accuracy").x_measure == SPARSITY


def test_a_measure_may_be_drawn_along_a_measure() -> None:
    figure = charts.figure([sweep()], "size.packed", "accuracy", "scope")
    assert [point.x for point in figure.series[0].points] == [200.0, 400.0]


@pytest.mark.parametrize(
    ("x", "y", "by"),
    [("nothing", "accuracy", None), (SPARSITY, "nothing", None), (SPARSITY, "accuracy", "nothing")],
)
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(x: str, y: str, by: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        charts.figure([sweep()], x, y, by)
    assert "nothing" in caught.value.title
    assert SCOPE in caught.value.detail


def test_seeds_are_drawn_as_mean_and_standard_deviation() -> None:
    points = charts.figure([seeds()], SPARSITY, "accuracy").series[0].points
    assert [point.x for point in points] == [0.3, 0.5]
    assert [point.y for point in points] == pytest.approx([0.85, 0.55])
    wanted = [statistics.stdev((0.8, 0.9)), statistics.stdev((0.7, 0.4))]
    assert [point.deviation for point in points] == pytest.approx(wanted)


def test_one_seed_has_no_deviation() -> None:
    assert charts.figure([sweep()], SPARSITY, "accuracy", SCOPE).series[0].points[0].deviation is None


def test_a_seed_that_is_not_finished_is_left_out_of_the_mean() -> None:
    state = study(({"seed": 0, SPARSITY: 0.3}, measures(0.8)), ({"seed": 1, SPARSITY: 0.3}, None))
    (point,) = charts.figure([state], SPARSITY, "accuracy").series[0].points
    assert (point.y, point.deviation) == (0.8, None)


def test_the_baseline_is_a_line_of_reference() -> None:
    (reference,) = charts.figure([sweep()], SPARSITY, "accuracy").references
    assert (reference.name, reference.y) == ("baseline", 0.9)


@pytest.mark.parametrize("y", ["validation_accuracy", "accuracy"])
def test_the_baseline_of_a_search_is_its_own_whatever_finalists_are_compared_with(y: str) -> None:
    """Of another seed they have another baseline; only theirs are scored on the test split."""
    found = searched()
    for index, baseline, right in ((4, "t", 0.9), (5, "f5", 0.8)):
        trial = found.trials[index]
        trial.baseline, trial.baseline_measure = baseline, StepState(f"b{index}", "measure", "measure")
        found.steps[f"b{index}"] = trial.baseline_measure
        found.apply(finished(f"b{index}", measures(right)))
    (reference,) = charts.figure([found], "size.packed", y).references
    assert (reference.name, reference.y) == ("baseline", 0.9)
    told = study_json(found)
    assert told["baseline"]["trials"] == [0, 1, 2, 3, 4] and told["baseline"]["results"][y] == 0.9
    assert [one["trials"] for one in told["baselines"]] == [[0, 1, 2, 3, 4], [5]]


def test_lines_of_different_networks_have_a_baseline_each() -> None:
    model = "model.name"
    both = planned([{model: "resnet20", SPARSITY: 0.3}, {model: "vgg", SPARSITY: 0.3}])
    both.trials[1]["baseline_measure"] = "other"
    done = [finished("tm", measures(0.9)), finished("other", measures(0.6))]
    done += [finished("m0", measures(0.8)), finished("m1", measures(0.5))]
    state = replayed(started(), both, *done)
    found = charts.figure([state], SPARSITY, "accuracy", model).references
    assert [(line.name, line.y) for line in found] == [("resnet20 baseline", 0.9), ("vgg baseline", 0.6)]
    assert charts.figure([state], SPARSITY, "accuracy").references == found, (
        "lines are told apart without being asked"
    )


def test_lines_of_several_studies_carry_their_names() -> None:
    one, two = (
        study(({SPARSITY: 0.5}, measures(0.8)), name="a-1"),
        study(({SPARSITY: 0.5}, measures(0.7)), name="b-1"),
    )
    figure = charts.figure([one, two], SPARSITY, "accuracy")
    assert [line.name for line in figure.series] == ["a-1 accuracy", "b-1 accuracy"]
    assert [reference.name for reference in figure.references] == ["a-1 baseline", "b-1 baseline"]


def test_by_default_the_first_swept_number_is_drawn_along() -> None:
    assert charts.default_plot(sweep(), None) == Plot(x=SPARSITY, by=(SCOPE,))
    assert charts.default_plot(seeds(), None) == Plot(x=SPARSITY)
    assert charts.default_plot(study(({}, measures(0.9))), None) is None
    given = Plot(x="size.packed")
    assert charts.default_plot(sweep(), given) == given


def test_every_point_knows_its_trials() -> None:
    state = seeds()
    (line,) = charts.figure([state], SPARSITY, "accuracy").series
    owners = [owner_of(point) for point in line.points]
    assert [[trial.index for trial in owner.trials] for owner in owners if owner] == [[0, 2], [1, 3]]
    assert all(owner and owner.state is state for owner in owners)


def test_points_that_are_sorted_along_x_keep_their_trials() -> None:
    for line in charts.figure([sweep(), sweep()], "size.packed", "accuracy", "scope").series:
        for point in line.points:
            owner = owner_of(point)
            assert owner and [trial.results["accuracy"] for trial in owner.trials] == [point.y]


CRITERION = "prune.weights.criterion"


def crossed(*, seeds: tuple[int, ...] = (0,)) -> StudyState:
    """Two criteria, two scopes, two sparsities, each with its own accuracy."""
    points = [
        {CRITERION: criterion, SCOPE: scope, SPARSITY: sparsity, "seed": seed}
        for criterion in ("l1", "random")
        for scope in ("local", "global")
        for sparsity in (0.3, 0.6)
        for seed in seeds
    ]
    return study(*((point, measures(0.9 - 0.01 * i, nonzero=90 - i)) for i, point in enumerate(points)))


@pytest.mark.parametrize("by", [None, CRITERION, (SCOPE, CRITERION)])
@pytest.mark.parametrize("x", [SPARSITY, "nonzero_parameters"])
def test_a_line_holds_one_setting_of_all_that_it_does_not_run_along(x: str, by: str | None) -> None:
    lines = charts.figure([crossed(seeds=(0, 1))], x, "accuracy", by).series
    assert len(lines) == 4
    for line in lines:
        owners = [owner_of(point) for point in line.points]
        settings = {
            tuple(trial.parameters[n] for n in (CRITERION, SCOPE)) for o in owners if o for trial in o.trials
        }
        assert len(settings) == 1, line.name
        assert len(line.points) == 2 and line.line


def test_lines_are_named_after_what_was_chosen_first() -> None:
    names = [line.name for line in charts.figure([crossed()], SPARSITY, "accuracy", SCOPE).series]
    assert names[0] == "scope local, criterion l1"


def test_parameters_that_end_alike_are_told_apart() -> None:
    both = study(
        *(
            ({"prune.channels.scope": one, SCOPE: one, SPARSITY: sparsity}, measures(0.9))
            for one in ("local", "global")
            for sparsity in (0.3, 0.6)
        )
    )
    local, _ = (line.name for line in charts.figure([both], SPARSITY, "accuracy", SCOPE).series)
    assert local == "prune.weights.scope local, prune.channels.scope local"
    assert in_words(both.trials[0].parameters) == [
        "prune.channels.scope local",
        "prune.weights.scope local",
        "sparsity 0.3",
    ]


def test_points_of_one_x_are_not_joined() -> None:
    equal = study(({SPARSITY: 0.3}, measures(0.9, nonzero=50)), ({SPARSITY: 0.6}, measures(0.8, nonzero=50)))
    (line,) = charts.figure([equal], "nonzero_parameters", "accuracy").series
    assert len(line.points) == 2 and not line.line


def test_the_picked_trial_is_starred() -> None:
    state = crossed()
    *lines, star = charts.figure([state], SPARSITY, "accuracy", picks=[state.trials[5]]).series
    assert (len(lines), star.marker, star.line) == (4, "star", False)
    assert [(p.x, p.y) for p in star.points] == [(0.6, pytest.approx(0.85))]
    assert owner_of(star.points[0]) == owner_of(lines[2].points[1])


def test_lines_of_own_networks_are_named_by_what_tells_their_files_apart() -> None:
    names = ["/home/me/nets/net.py:build", "/home/me/nets/net.py:control"]
    state = study(*(({"model.name": name, SPARSITY: 0.5}, measures(0.9, nonzero=50)) for name in names))
    lines = charts.figure([state], SPARSITY, "accuracy").series
    assert [line.name for line in lines] == ["net.py:build", "net.py:control"]
