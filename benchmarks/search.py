"""Does a search find a model as good as many random trials of its space do, and for how much less? Does it repeat?

One space is searched in two ways, in workspaces of their own: by `search:`, and by random points of the same space, all
trained to the highest rung, as one sweep. Both choose on validation by the same rule. Told are the least of the goal's
measure that each found within the limit, the seconds that workers computed for it (the baseline's training left out),
and how long the search computed until its first admissible model.

With --repeat, so many small searches of other seeds are carried out three times: undisturbed, by engines that are
killed at random times and resumed, and as a replay: proposals and results have to be the same to the last bit.

    python -m benchmarks.search [--preset search-quickstart] [--trials 64] [--random 200] [--seeds 0 1 2] [--repeat 10]
    python -m benchmarks.search --quick      a tiny network, 8 random trials, one seed, one repetition: in two minutes

Exits with 1 where the search found less, took more than a fifth of the compute (not with --quick), or did not repeat.
Finished arms are kept in --folder: a run that was interrupted goes on with the first that is missing.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import results, trained
from benchmarks.fault_lab import SEARCH
from engine.presets import shipped, spec
from engine.presets.model import Spec
from engine.presets.space import rung_id
from engine.results import pick
from engine.store.files import read_json, write_json
from engine.studies.rundir import RunDir
from engine.studies.settings import rule
from engine.studies.state import StudyState, load

SHARE = 0.2
"""Of the random trials' compute that a search may take, see `share`."""
MOST_KILLS = 4
"""Of one search; after them it is left alone, so that it comes to its end."""
SMALL = (
    """\
seed: SEED
threads: 1
model: {name: resnet20, arguments: {width: 4}}
data: {name: digits, limit: 200}
steps: [{train: {epochs: 2, batch: 32}}]
"""
    + SEARCH
    + """\
    - prune.channels: {speedup: 1..4}
    - finetune: {epochs: 1..2, batch: 32}
    - quantize.weights: {bits: 3..8, rounding: nearest, enabled: [true, false]}
"""
)
QUICK = [
    "model.arguments={width: 4}",
    "data.limit=300",
    "train.epochs=2",
    "search.finalists=1",
    "search.seeds=1",
    "search.within={accuracy: -20 points}",
]


def secateur(folder: Path, *arguments: str) -> None:
    """Run a command in a workspace; what it says goes to standard error."""
    subprocess.run(
        [sys.executable, "-m", "engine.cli.main", *arguments],
        env=os.environ | {"SECATEUR_HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        check=False,
    )


def study(folder: Path) -> RunDir:
    """The one study of a workspace."""
    return RunDir(next(path for path in (folder / "studies").iterdir() if path.name.endswith("-1")))


def random_sweep(read: Spec, count: int, seed: int) -> str:
    """The preset of so many random points of the space, each trained to the highest rung."""
    assert read.space is not None
    chance = random.Random(seed)
    points: list[dict[str, Any]] = []
    while len(points) < count:
        drawn = {one.path: one.between(chance.uniform(0.02, 1.0)) for one in read.space.dimensions}
        if drawn not in points:
            points.append(drawn)
    running = {one.path: True if one.switch else one.between(0.5) for one in read.space.dimensions}
    document = dict(spec.candidate(read, running, -1).document)
    columns = {one.path: [point[one.path] for point in points] for one in read.space.dimensions}
    rungs = [step.address for step in spec.candidate(read, running, -1).steps]
    chained = read.space.names[read.space.training] if read.space.training is not None else ""
    for rung in range(1, len(read.space.rungs)):  # every training of the chain has the point's values
        name = rung_id(chained, rung)
        columns |= {
            name + path.removeprefix(chained): v
            for path, v in columns.items()
            if path.startswith(f"{chained}.")
        }
        assert name in rungs
    document["sweep"] = {"zip": columns}
    return spec.to_yaml(document)


def found(state: StudyState, read: Spec) -> dict[str, Any]:
    """What a study chose on validation, and the seconds that its workers computed beyond the baseline."""
    goal = rule(read.settings)
    candidates = [
        t for t in state.trials if t.proposal.get("role", "candidate") == "candidate" and t.parameters
    ]
    best = pick.best([one for one in pick.judged(state, candidates, goal) if one[0].within])
    base = {key for trial in state.trials for key in _until_baseline(trial)}
    # What is reused was computed by an earlier engine of the study: nothing else is in its workspace.
    computed = [s for s in state.steps.values() if s.status == "done" and s.key not in base]
    units: dict[str, list[float]] = {}
    for step in computed:
        own = units.setdefault(step.kind, [0, 0.0])
        own[0] += len(step.epochs) or 1
        own[1] += step.seconds or 0.0
    return {
        "amount": pick.judged(state, [best.trial], goal)[0][1] if best else None,
        "loss": best.loss if best else None,
        "seconds": sum(step.seconds or 0.0 for step in computed),
        "epochs": sum(len(step.epochs) for step in computed),
        "units": units,
        "trials": len(candidates),
        "first_s": _first(state, read),
    }


def share(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """What part of the random trials' compute the search took, both at the same seconds for an epoch, and for each
    other kind of step: the machine is not as busy at all times."""
    kinds = {*ours["units"], *theirs["units"]}
    both = {kind: [one["units"].get(kind, [0, 0.0]) for one in (ours, theirs)] for kind in kinds}
    prices = {kind: sum(s for _, s in pairs) / sum(n for n, _ in pairs) for kind, pairs in both.items()}
    costs = [sum(pairs[arm_][0] * prices[kind] for kind, pairs in both.items()) for arm_ in (0, 1)]
    return costs[0] / costs[1] if costs[1] else float("inf")


def _until_baseline(trial: Any) -> list[str]:
    keys = [step.key for step in trial.steps]
    return [*keys[: keys.index(trial.baseline) + 1], trial.baseline_measure.key]


def _first(state: StudyState, read: Spec) -> float | None:
    """Seconds of computing, one after the other, until the first model within the limits."""
    seen: set[str] = set()
    seconds = 0.0
    for trial in state.trials:
        for step in trial.chain:
            seconds += 0.0 if step.key in seen else step.seconds or 0.0
            seen.add(step.key)
        judged = pick.judged(state, [trial], rule(read.settings)) if trial.parameters else []
        if judged and judged[0][0].within:
            return seconds
    return None


def killed(folder: Path, preset: Path, chance: random.Random) -> int:
    """Carry out a search by engines that are killed at random times; how often."""
    secateur(folder, "run", str(preset), "--detach")
    kills = 0
    while kills < MOST_KILLS:
        time.sleep(chance.uniform(0.5, 4))
        status = study(folder).read_status()
        if status.state != "running":
            break
        os.kill(status.pid, signal.SIGKILL)
        kills += 1
        while study(folder).read_status().state == "running":
            time.sleep(0.1)
        secateur(folder, "resume", study(folder).name, "--detach")
    secateur(folder, "watch", study(folder).name)
    return kills


def told(state: StudyState) -> list[Any]:
    """What has to repeat: what was proposed, and measured with it, and the bits of each step's result."""
    return [
        (t.proposal, t.measure.measures, [(step.key, step.content) for step in (*t.steps, t.measure)])
        for t in state.trials
    ]


def repetition(folder: Path, number: int) -> dict[str, Any]:
    """A small search three times; what is there already is not done again."""
    kept = read_json(folder / "repeated.json")
    if isinstance(kept, dict):
        return kept
    plain, disturbed = folder / "plain", folder / "killed"
    for one in (plain, disturbed):
        shutil.rmtree(one, ignore_errors=True)
        one.mkdir(parents=True)
    preset = folder / "small.yaml"
    preset.write_text(SMALL.replace("SEED", str(number)), "utf-8")
    secateur(plain, "run", str(preset))
    kills = killed(disturbed, preset, random.Random(number))
    secateur(plain, "replay", study(plain).name)
    first, again = load(study(plain).path), load(study(disturbed).path)
    replayed = load(study(plain).beside(f"{study(plain).name}-replay-1").path)
    row = {
        "seed": number,
        "trials": len(first.trials),
        "kills": kills,
        "killed_identical": first.status == "done" and told(first) == told(again),
        "replay_identical": replayed.verdict is not None and replayed.verdict.identical,
    }
    write_json(folder / "repeated.json", row)
    return row


def arm(args: argparse.Namespace, seed: int, changes: list[str]) -> dict[str, Any]:
    """Both ways for one seed; what is there already is not done again."""
    read = spec.read(shipped.find(args.preset), [*changes, f"seed={seed}"])
    out: dict[str, Any] = {"seed": seed}
    for name in ("search", "random"):
        folder = args.folder / f"{name}-{seed}"
        kept = read_json(folder / "found.json")
        if not isinstance(kept, dict):
            folder.mkdir(parents=True, exist_ok=True)
            preset = folder / f"{name}.yaml"
            text = spec.to_yaml(read.document) if name == "search" else random_sweep(read, args.random, seed)
            preset.write_text(text, "utf-8")
            begun = (folder / "studies").is_dir()
            secateur(folder, *(("resume", study(folder).name) if begun else ("run", str(preset))))
            state = load(study(folder).path)
            if state.status != "done":
                raise SystemExit(f"{study(folder).path} is {state.status}; the same command goes on with it")
            kept = found(state, read)
            write_json(folder / "found.json", kept)
        out[name] = kept
    return out


def compared(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the verdict: what share of the random trials' compute it took, and whether it found as much."""
    ours, theirs = row["search"], row["random"]
    better = theirs["amount"] is None or (ours["amount"] is not None and ours["amount"] <= theirs["amount"])
    return row | {"share": share(ours, theirs), "as_good": better}


def write(args: argparse.Namespace, rows: list[dict[str, Any]], repeated: list[dict[str, Any]]) -> None:
    """The results as files, from which the docs' tables are made."""
    if rows:
        about = (
            f"Preset {args.preset}, {args.trials} trials of the search against {args.random} random trials, each "
            "trained to the highest rung: the least of the goal's measure within the limits on validation, its share "
            "of compute (at the same prices for both), and the seconds of computing until the first model within them."
        )
        results.write(
            "search", [flat(row) for row in rows], title="A search against random trials", about=about
        )
    if repeated:
        about = "Small searches, carried out three times: undisturbed, killed at random times and resumed, replayed."
        results.write(
            "search_repeated", repeated, title="Searches that were killed and replayed", about=about
        )


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a table has it."""
    ours, theirs = row["search"], row["random"]
    return {
        "seed": row["seed"],
        "found by the search": ours["amount"],
        "by random trials": theirs["amount"],
        "share of compute (%)": 100 * row["share"],
        "at least as good": row["as_good"],
        "trials of the search": ours["trials"],
        "random trials": theirs["trials"],
        "first within (s)": ours["first_s"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--preset", default="search-quickstart")
    parser.add_argument("--trials", type=int, default=64, help="the search's budget")
    parser.add_argument("--random", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--repeat", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(".benchmarks/search"))
    args = trained.parsed(parser, "--trials 8 --random 8 --seeds 0 --repeat 1")
    changes = [f"search.budget={{trials: {args.trials}}}", *(QUICK if args.quick else [])]
    rows = [compared(arm(args, seed, changes)) for seed in args.seeds]
    for row in rows:
        print(
            f"seed {row['seed']}: {json.dumps(row['search'])} against {json.dumps(row['random'])}: "
            f"{row['share']:.0%} of the compute, {'as good' if row['as_good'] else 'NOT as good'}"
        )
    repeated = [repetition(args.folder / f"repeat-{number}", number) for number in range(args.repeat)]
    same = [row["killed_identical"] and row["replay_identical"] for row in repeated]
    if repeated:
        kills = sum(row["kills"] for row in repeated)
        print(f"{sum(same)} of {len(same)} searches, killed {kills} times in all, and replayed: identical")
    if not args.quick:
        write(args, rows, repeated)
    good = all(same) and (args.quick or all(row["as_good"] and row["share"] <= SHARE for row in rows))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
