"""What is told of a study as a whole: its plan, and in `status.json` what its preset says at the begin, and its events
from then on."""

import time
from dataclasses import replace

from engine.machine.process import Process
from engine.params.preset import Pick
from engine.presets.spec import Spec
from engine.results import pick
from engine.results.failures import brief, ending
from engine.results.summary import qualities
from engine.studies import events as ev
from engine.studies.plan import Plan
from engine.studies.state import StudyState
from engine.studies.status import Status, StudyStatus


def of_preset(state: StudyStatus, spec: Spec, replay_of: str | None, expected: float = 0.0) -> Status:
    """The status of a study of which no event tells yet, created now; estimated to take so many seconds.

    Without a cluster it lives as long as this process, which carries it out or is about to have that done.
    """
    settings, now = spec.settings, time.time()
    on_cluster = settings.executor.slurm is not None
    by = Process() if on_cluster else Process.this()
    return Status(
        state,
        preset=spec.name,
        about=settings.about,
        model=settings.model.title,
        data=settings.data.name,
        host=by.host,
        pid=by.pid,
        start_ticks=by.start_ticks,
        boot_id=by.boot_id,
        created=now,
        updated=now,
        trials=len(spec.trials),
        most=settings.search.most if settings.search else 0,
        expected=expected,
        replay_of=replay_of,
        executor="slurm" if on_cluster else "local",
    )


def plan_event(spec: Spec, plan: Plan) -> ev.Planned:
    """The event that tells which trials a study begins with, and on what; of a search also what ends it."""
    search = spec.settings.search
    return ev.Planned(
        trials=[trial.as_dict() for trial in plan.trials[: len(spec.trials)]],
        devices={"device": plan.device, "threads": plan.threads},
        most_trials=search.most if search else 0,
        most_hours=(search.budget.hours or 0.0) if search else 0.0,
    )


def with_events(before: Status, state: StudyState, rule: Pick) -> Status:
    """With what the events tell of the trials, and the model to take by `rule`."""
    return replace(
        before,
        trials=max(before.trials, len(state.trials)),
        most=state.most if state.trials else before.most,
        done=state.done,
        untimed=state.untimed,
        failed=state.failed,
        qualities=qualities(state),
        pick=pick.as_json(pick.pick(state, rule)),
        why=brief(end) if (end := ending(state)) else "",
        verdict=None if state.verdict is None else ("identical" if state.verdict.identical else "different"),
    )
