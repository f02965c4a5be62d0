"""Training curves: which epochs are drawn, and whose they are."""

from engine.charts import training
from engine.charts.owner import owner_of
from engine.studies import events as ev
from engine.testing.events import planned, replayed, started


def epoch(key: str, number: int, **measured: float) -> ev.EpochFinished:
    return ev.EpochFinished(
        key=key,
        epoch=number,
        epochs=3,
        loss=1.0,
        validation_loss=1.0,
        measures=measured,
        learning_rate=0.1,
        seconds=1.0,
    )


def test_an_epoch_that_was_not_judged_is_left_out_and_the_others_keep_their_trials() -> None:
    plan = planned([{"seed": 0}, {"seed": 1}])
    own = plan.trials[1]["steps"][-1]["key"]
    shared = plan.trials[0]["steps"][0]["key"]
    epochs = [
        epoch(shared, 1),
        epoch(shared, 2, validation_accuracy=0.5),
        epoch(own, 3, validation_accuracy=0.7),
    ]
    state = replayed(started(), plan, *epochs)
    lines = training.figure([state], "validation_accuracy").series
    assert [[(point.x, point.y) for point in line.points] for line in lines] == [[(2.0, 0.5)], [(5.0, 0.7)]]
    owners = [owner_of(line.points[0]) for line in lines]
    assert [[trial.index for trial in owner.trials] for owner in owners if owner] == [[0, 1], [1]]


def test_fine_tuning_goes_on_where_training_ends_unless_it_is_drawn_alone() -> None:
    plan = planned([{"sparsity": 0.0}, {"sparsity": 0.5}])
    train = plan.trials[0]["steps"][0]["key"]
    tune = plan.trials[1]["steps"][-1]["key"]
    epochs = [epoch(train, n, validation_accuracy=0.1 * n) for n in (1, 2, 3)]
    state = replayed(started(), plan, *epochs, epoch(tune, 1, validation_accuracy=0.4))
    lines = training.figure([state], "validation_accuracy").series
    assert [[point.x for point in line.points] for line in lines] == [[1.0, 2.0, 3.0], [4.0]]
    alone = training.figure([state], "validation_accuracy", only={tune}).series
    assert [point.x for point in alone[0].points] == [1.0]
