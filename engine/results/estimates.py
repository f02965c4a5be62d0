"""How long a preset would take, from what the same steps took in earlier studies of the workspace."""

import json
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from engine import datasets
from engine.errors import PresetInvalid, SecateurError
from engine.machine.value import Machine
from engine.measures.latency import measured
from engine.params import Step
from engine.params.preset import Settings
from engine.params.sensitivity import Sensitivity
from engine.presets.auto import BACKWARD
from engine.presets.spec import Spec, candidate
from engine.results.estimate import Estimate
from engine.store.workspace import fingerprints, shared_store
from engine.studies import rundir, state
from engine.studies.plan import Plan, data_id, make
from engine.studies.rundir import RunDir
from engine.studies.status import OPEN, Status
from engine.text.numbers import duration

MOST_STUDIES = 8
"""Studies of the same model and data that are read: the newest tell enough, and an event costs 3 µs."""
START_S = 5.0
"""Seconds until the engine has imported torch and started its first worker (2 to 6 were measured)."""
SMALL_BYTES = 64 << 20
"""Data sets up to this size are hashed for looking into the store before any study has done so."""


@dataclass(frozen=True)
class Seconds:
    """What steps took by kind: an `epoch` of those that train, one comparison of a `latency`; the others (`measure`
    too) as a `whole`."""

    study: str
    epoch: dict[str, float]
    whole: dict[str, float]


@dataclass
class History:
    """The finished studies of a workspace, read once each."""

    workspace: Path
    _read: dict[Path, tuple[float, tuple[tuple[str, str, Any], Seconds]]] = field(default_factory=dict)
    """By folder, when the study's status was written last, and what was read then."""

    def seconds(self, wanted: Spec) -> Seconds | None:
        """What the steps of `wanted` took in the newest studies of the same model and data."""
        timed = [self._of(run, status) for run, status in self._candidates(wanted)]
        mine = [seconds for known, seconds in timed if known == _subject(wanted.settings)]
        return _merged(mine) if mine else None

    def _candidates(self, wanted: Spec) -> Iterator[tuple[RunDir, Status]]:
        model, data = wanted.settings.model.name, wanted.settings.data.name
        count = 0
        for run in rundir.studies(self.workspace):
            status = run.read_status()
            if (status.model, status.data) == (model, data) and status.done:
                yield run, status
                count += 1
            if count == MOST_STUDIES:
                return

    def _of(self, run: RunDir, status: Status) -> tuple[tuple[str, str, Any], Seconds]:
        written, entry = self._read.get(run.path, (0.0, None))
        if entry is None or status.state in OPEN or status.updated != written:  # or it was resumed since
            entry = (_subject_of(run), _seconds_in(run))
            self._read[run.path] = status.updated, entry
        return entry


def estimate(wanted: Spec, history: History, on: Machine) -> Estimate:
    """The time for a preset on a machine: its distinct steps, less those in the store, at what they took before."""
    if wanted.space is not None:
        return _of_search(wanted, history, on)
    known = history.seconds(wanted)
    planned = _plan(wanted, history.workspace, on)
    store = shared_store(history.workspace)
    nodes = planned.nodes
    missing = {key for key in nodes if store.get(key) is None}
    unknown = Estimate(steps=len(nodes), stored=len(nodes) - len(missing))
    if known is None:
        return unknown
    took = _seconds(planned, missing, known, _comparisons(wanted))
    if took is None:
        return replace(unknown, source=known.study)
    computing, alone = took
    parallel = min(wanted.settings.executor.parallel, len(wanted.trials))
    return replace(unknown, seconds=START_S + alone + computing / parallel, source=known.study)


def _seconds(
    planned: Plan, missing: Collection[str], known: Seconds, comparisons: int
) -> tuple[float, float] | None:
    """Seconds of what computes and of what measures alone, of the plan's missing steps; None where one kind was never
    seen."""
    computing, alone = 0.0, 0.0
    for key, step in _kinds(planned).items():
        if key not in missing:
            continue
        took = _cost(step, known, comparisons)
        if took is None:
            return None
        if step == "latency":
            alone += took
        else:
            computing += took
    return computing, alone


def _of_search(wanted: Spec, history: History, on: Machine) -> Estimate:
    """The time for a search: at most what its budget says, or its trials at what their steps took before.

    A trial is one in the middle of every range. Of the trials on a rung half go on to the next, at the price of what
    that adds. In the end come the finalists, and the uncompressed network, on each seed with a baseline of its own.
    Tables are measured of the first one alone.
    """
    assert wanted.settings.search is not None and wanted.space is not None
    search = wanted.settings.search
    most = None if search.budget.hours is None else 3600 * search.budget.hours
    costs = _costs(wanted, history, on)
    if costs is None:
        return Estimate(most)
    again = costs.baseline + search.finalists * sum(costs.rungs)
    confirming = (search.seeds - 1) * again + search.seeds * costs.uncompressed
    first = START_S + costs.baseline + costs.tables
    each = _per_trial(costs.rungs)
    parallel = wanted.settings.executor.parallel
    trials = search.budget.trials
    if most is not None:
        left = parallel * (most - first) - confirming
        fitting = max(int(left / max(each, 1e-9)), 0)
        trials = fitting if trials is None else min(trials, fitting)
    assert trials is not None
    seconds = first + (trials * each + confirming) / parallel
    return Estimate(seconds if most is None else min(seconds, most), costs.source, trials=trials)


def of_search_in_words(wanted: Spec, workspace: Path, on: Machine) -> str:
    """What a search is likely to take, time and processors, as a sentence; that it is not known where it is not."""
    found = estimate(wanted, History(workspace), on)
    if not found.source or found.seconds is None:
        return "time: not known before this network was trained once on these data"
    busy = found.seconds * wanted.settings.executor.parallel * on.threads
    return f"time: {found}, {duration(busy)} of processors, by what its steps took in {found.source}"


def _per_trial(rungs: Sequence[float]) -> float:
    """The mean cost of a trial, where of those on each rung half go on."""
    shares = [0.5**rung for rung in range(len(rungs))]
    return sum(share * cost for share, cost in zip(shares, rungs, strict=True)) / sum(shares)


@dataclass(frozen=True)
class _Costs:
    """Seconds of what a search computes.

    Attributes:
        baseline: Of the baseline, and of all measures of it that candidates are compared with.
        tables: Of the sensitivity steps beside it.
        rungs: Of a trial on each rung, beyond those before.
        uncompressed: Of the uncompressed network with a candidate's training.
        source: The study they are known from.
    """

    baseline: float
    tables: float
    rungs: list[float]
    uncompressed: float
    source: str


def _costs(wanted: Spec, history: History, on: Machine) -> _Costs | None:
    """What a search costs, whose candidates are in the middle of every range; None where some step was never seen."""
    assert wanted.space is not None
    known = history.seconds(wanted)
    if known is None:
        return None
    bare = replace(wanted, trials=(replace(wanted.trials[0], tables=()),))
    middle = wanted.space.middle()
    try:
        specs = [candidate(wanted, middle, rung) for rung in range(len(wanted.space.rungs))]
        specs.append(candidate(wanted, None, -1))
    except PresetInvalid:  # not all of it together
        return None
    first, whole, *candidates, plain = (_plan(one, history.workspace, on) for one in (bare, wanted, *specs))
    comparisons = _comparisons(wanted)
    done: set[str] = set()

    def adds(planned: Plan, keys: Collection[str], *, timed: bool = True) -> float:
        """Seconds of these results of a plan that no plan before has; infinitely many where a step was never seen."""
        took = _seconds(planned, set(keys) - done, known, comparisons)
        done.update(keys)
        computing, alone = took or (math.inf, 0.0)
        return computing + alone if timed else computing

    # Candidates are compared with measures of the baseline that are theirs alone, and taken once for all.
    compared = {planned.trials[0].baseline_measure.key for planned in candidates}
    baseline = adds(first, first.nodes) + adds(candidates[0], compared - set(whole.nodes))
    tables = adds(whole, whole.nodes)
    # A candidate's latency is measured once, on its lowest rung.
    rungs = [adds(planned, planned.nodes, timed=not rung) for rung, planned in enumerate(candidates)]
    uncompressed = adds(plain, plain.nodes, timed=False)
    if math.inf in (baseline, tables, *rungs, uncompressed):
        return None
    return _Costs(baseline, tables, rungs, uncompressed, known.study)


def _plan(wanted: Spec, workspace: Path, on: Machine) -> Plan:
    prints: dict[str, str] = {}
    for trial in wanted.trials:
        name = data_id(trial)
        if name not in prints:
            # Without the data's fingerprint the steps can be counted but not be found in the store.
            prints[name] = _fingerprint(trial.settings.data, workspace) or f"unknown {name}"
    return make(wanted, prints, on)


def _fingerprint(data: Any, workspace: Path) -> str | None:
    try:
        place = datasets.locate(data, workspace)
        files = [place.root / name for name in place.record.files] if place.record else []
        if sum(file.stat().st_size for file in files if file.is_file()) > SMALL_BYTES:
            return None
        return datasets.fingerprint(data, place, fingerprints(workspace))
    except (SecateurError, OSError):
        return None


def _kinds(planned: Plan) -> dict[str, Step | str]:
    """Every result's key with its step, or `model`, `measure` or `latency`."""
    kinds: dict[str, Step | str] = {}
    for trial in planned.trials:
        kinds |= trial.parameters
        others = (
            node for node in (*trial.steps, *trial.beside) if node.position < 0 or node.kind == "measure"
        )
        kinds |= {node.key: node.kind for node in others}
        kinds |= {trial.measure.key: "measure", trial.baseline_measure.key: "measure"}
        if trial.latency:
            kinds[trial.latency.key] = "latency"
    return kinds


def _comparisons(wanted: Spec) -> int:
    """How often each trial's model is measured against its baseline: for each runtime, precision, batch, threads."""
    latency = wanted.settings.measure.latency
    return len(latency.combinations()) if latency else 0


def _cost(step: Step | str, known: Seconds, comparisons: int) -> float | None:
    """Seconds for one step; None for a kind that was never seen."""
    if step == "latency":
        one = known.whole.get("latency")
        return None if one is None else one * comparisons
    if isinstance(step, str):
        return known.whole.get(step, 0.0 if step == "model" else None)
    epochs = epochs_of(step)
    if not epochs:
        took = known.whole.get(step.kind)
        passes = step.passes if isinstance(step, Sensitivity) else None
        if took is None and passes is not None and known.epoch:
            return passes * fmean(known.epoch.values()) / BACKWARD
        return took
    # An epoch of one kind of training takes about as long as one of another.
    rate = known.epoch.get(step.kind) or (fmean(known.epoch.values()) if known.epoch else None)
    return None if rate is None else rate * epochs


def epochs_of(step: Step) -> int:
    """Passes over the training data that a step makes; 0 for one that does not train."""
    values = step.key_material()
    if isinstance(values.get("epochs"), int):
        return int(values["epochs"])
    schedule = values.get("schedule")
    if isinstance(schedule, dict) and "rounds" in schedule:
        return int((schedule["rounds"] - 1) * schedule.get("epochs", 1))
    return 0


def seconds_of(study: str, study_state: state.StudyState) -> Seconds:
    """What the steps of a study took, those it took from the store included."""
    epoch: dict[str, list[float]] = {}
    whole: dict[str, list[float]] = {}
    for step in study_state.steps.values():
        if step.status != "done" or not step.seconds:
            continue
        if step.epochs:
            epoch.setdefault(step.kind, []).append(step.seconds / step.epochs[-1].epochs)
        else:
            rows = measured({"latency": step.observations.get("rows")})
            whole.setdefault(step.kind, []).append(step.seconds / max(len(rows), 1))
    return Seconds(study, _means(epoch), _means(whole))


def _seconds_in(run: RunDir) -> Seconds:
    """What the steps of a study took; nothing where its events make no sense."""
    try:
        return seconds_of(run.name, state.load(run.path))
    except state.MALFORMED:
        return Seconds(run.name, {}, {})


def _means(values: dict[str, list[float]]) -> dict[str, float]:
    return {kind: fmean(seconds) for kind, seconds in values.items()}


def _merged(newest_first: list[Seconds]) -> Seconds:
    """The newest value of each kind."""
    epoch: dict[str, float] = {}
    whole: dict[str, float] = {}
    for one in reversed(newest_first):
        epoch |= one.epoch
        whole |= one.whole
    return Seconds(newest_first[0].study, epoch, whole)


def _subject(settings: Settings) -> tuple[str, str, Any]:
    """What two studies must share for the times of one to tell about the other."""
    size = {"size": settings.data.size, "limit": settings.data.limit, "device": settings.device}
    arguments = {"model": settings.model.arguments, "threads": settings.threads}
    return settings.model.name, settings.data.name, json.dumps(size | arguments, sort_keys=True, default=str)


def _subject_of(run: RunDir) -> tuple[str, str, Any]:
    try:
        return _subject(run.settings().of_trial(0))
    except SecateurError:
        return "", "", None
