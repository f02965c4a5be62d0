"""What jobs do around a node."""

from engine.compute.worker.commit import rarely


def test_waiting_is_told_at_once_and_then_every_fifteen_seconds():
    told = []
    report = rarely(lambda seconds, processes: told.append((seconds, processes)))
    for second in range(40):
        report(float(second), (7,))
    assert told == [(0.0, (7,)), (15.0, (7,)), (30.0, (7,))]
