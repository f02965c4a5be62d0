"""What is said of a study that is not well: each reason once with its trials, when it was lost, what goes on."""

from dataclasses import replace
from typing import Any

import pytest

from engine.charts import trials
from engine.errors import SecateurError, UsageError, sentences
from engine.results import failures
from engine.studies import events as ev
from engine.studies.state import StudyState
from engine.studies.status import Status
from engine.testing.events import finished, measures, planned, replayed, started, study

MEMORY = {"title": "Batch 32 is too large", "detail": "It needs 9 GB", "remedy": "Use a smaller batch"}
SHAPE = {"title": "It takes 3 channels", "detail": "Given 1 channel", "remedy": "Set data.channels"}


def failed(key: str, error: dict[str, str]) -> ev.StepFailed:
    return ev.StepFailed(key=key, kind="step", error=error)


def broken(*errors: dict[str, str] | None, **end: Any) -> StudyState:
    """A study whose trials ended in these errors, or are done."""
    events: list[ev.Event] = [started(), planned({"x": i} for i in range(len(errors)))]
    events += [finished("t"), finished("tm", measures(0.9))]
    for i, error in enumerate(errors):
        events += [failed(f"p{i}", error)] if error else [finished(f"p{i}"), finished(f"m{i}", measures(0.8))]
    return replayed(*events, ev.StudyFinished(**({"state": "failed"} | end)))


def test_a_reason_that_all_trials_share_is_told_once_with_how_many() -> None:
    state = replayed(started(), planned({"x": i} for i in range(14)), failed("t", SHAPE))
    state.apply(ev.StudyFinished(state="failed"))
    text = "\n".join(failures.lines(state))
    assert text.startswith("14 of 14 trials failed in train:")
    assert text.count("It takes 3 channels. Given 1 channel") == 1
    assert "→ Set data.channels" in text
    assert text.endswith("`secateur resume s-1` tries them again.")


def test_different_reasons_are_counted_and_the_most_frequent_comes_first() -> None:
    lines = failures.lines(broken(SHAPE, MEMORY, None, MEMORY, MEMORY))
    assert lines[0] == "4 of 5 trials failed, for 2 reasons:"
    assert lines[1].lstrip().startswith("(1) 3 trials (1, 3-4) in prune.weights: Batch 32 is too large")
    assert lines[3].lstrip().startswith("(2) trial 0 in prune.weights: It takes 3 channels")


def test_errors_that_differ_in_numbers_alone_are_one_reason_and_that_is_said() -> None:
    (reason,) = failures.reasons_of(broken(MEMORY, MEMORY | {"detail": "It needs 18.5 GB"}).trials)
    assert (reason.trials, reason.exact) == ((0, 1), False)
    lines = failures.lines(broken(MEMORY, MEMORY | {"detail": "It needs 18.5 GB"}))
    assert "In the others the numbers differ" in "\n".join(lines)


def test_a_study_that_goes_well_has_nothing_to_tell() -> None:
    assert failures.ending(study(({"x": 1}, measures(0.8)), ({"x": 2}, None))) is None
    assert failures.lines(broken(None, None, state="done")) == []


def test_while_it_runs_failures_are_told_as_those_so_far_and_nothing_is_resumed() -> None:
    state = replayed(started(), planned([{"x": 1}, {"x": 2}]), failed("p0", SHAPE))
    assert failures.lines(state)[0] == "1 of 2 trials failed so far in prune.weights:"
    assert not any("resume" in line for line in failures.lines(state))


def test_a_study_that_fails_before_its_plan_speaks_of_no_trials() -> None:
    text = "\n".join(failures.lines(replayed(started(), ev.StudyFinished(state="failed", error=SHAPE))))
    assert text.startswith("Failed before its trials were planned:\n  It takes 3 channels. Given 1 channel\n")
    assert "0 of 0" not in text


def test_a_lost_study_says_when_it_was_heard_of_why_and_how_it_goes_on() -> None:
    state = replace(
        study(({"x": 1}, None)), status="lost", heard=1_700_000_000.0, lost={"title": "The disk is full"}
    )
    text = "\n".join(failures.lines(state))
    assert f"last heard of {failures.moment(1_700_000_000.0)}" in text
    assert "The disk is full" in text
    assert text.endswith("`secateur resume s-1` goes on where it was.")


def test_a_remedy_that_resumes_names_the_study_and_is_not_repeated() -> None:
    error = MEMORY | {"remedy": "Ask for more memory; then `secateur resume`: nothing is lost."}
    lines = failures.lines(broken(error))
    assert lines[-1].strip() == "→ Ask for more memory; then `secateur resume s-1`: nothing is lost."


def test_a_trial_tells_its_own_reason_and_one_that_was_not_reached_the_studys() -> None:
    state = broken(SHAPE, MEMORY, MEMORY)
    head, *rest = failures.trial_lines(state, state.trials[1])
    assert head == "Trial 1 failed in prune.weights (2 trials (1-2) for this reason):"
    assert not any("channels" in line for line in rest)
    cut_short = replayed(started(), planned([{"x": 1}]), ev.StudyFinished(state="cancelled"))
    assert failures.trial_lines(cut_short, cut_short.trials[0])[0].startswith(
        "Cancelled with 0 of 1 trial done"
    )


@pytest.mark.parametrize(
    "state",
    [
        broken(SHAPE, SHAPE),
        replayed(started(), ev.StudyFinished(state="failed", error=SHAPE)),
        replace(study(({"x": 1}, None)), status="lost"),
        replayed(started(), planned([{"x": 1}]), ev.StudyFinished(state="cancelled")),
    ],
    ids=["failed", "unplanned", "lost", "cancelled"],
)
def test_plotting_what_ended_without_a_value_says_what_happened(state: StudyState) -> None:
    with pytest.raises(SecateurError, match="nothing to plot of s-1") as error:
        trials.figure([state], "x", "accuracy")
    assert "secateur resume s-1" in str(error.value)
    assert "nothing called" not in str(error.value)


def test_a_wrong_name_is_still_a_wrong_name_where_there_are_values() -> None:
    with pytest.raises(UsageError, match="nothing called accurcy"):
        trials.figure([broken(SHAPE, None)], "x", "accurcy")


def test_a_list_tells_it_on_one_line_from_the_status() -> None:
    found = failures.ending(broken(MEMORY, MEMORY, SHAPE))
    assert found is not None
    line = failures.brief(found)
    assert line == (
        "3 of 3 trials failed: Batch 32 is too large. It needs 9 GB. Use a smaller batch (and 1 other reason)"
    )
    assert failures.of_status(Status("failed", why=line)) == line
    assert failures.of_status(Status("failed", error=SHAPE)).startswith(
        "It takes 3 channels. Given 1 channel."
    )
    assert "last heard of" in failures.of_status(Status("lost", updated=1_700_000_000.0, trials=3))
    assert failures.of_status(Status("done")) == ""


def test_a_list_counts_the_trials_of_a_lost_search_as_its_row_does() -> None:
    lost = Status("lost", trials=5, done=3, most=9)
    assert lost.fraction == "3/≤9"
    assert "3 trials done, of at most 9" in failures.of_status(lost)


@pytest.mark.parametrize(
    ("parts", "joined"),
    [
        (("3 channels instead", "", "Set data.size"), "3 channels instead. Set data.size"),
        (("It ended.", "Look\n  into it", "Now"), "It ended. Look into it. Now"),
        (("Looked in:", "/a"), "Looked in: /a"),
        (
            ("It can't take 1×8×8\nIt says: mat1", "Set data.size"),
            "It can't take 1×8×8. It says: mat1. Set data.size",
        ),
        (("", ""), ""),
    ],
)
def test_parts_of_a_message_are_joined_with_one_full_stop(parts: tuple[str, ...], joined: str) -> None:
    assert sentences(*parts) == joined
