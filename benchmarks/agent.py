"""A program that knows nothing of secateur but what `--help` and `spec --json` say reaches a goal in a few calls.

python -m benchmarks.agent [--times 4] [--points 1] [--calls 10]

The goal: so many times fewer MACs, at most so many points lost on validation, on the data set that comes along. It
finds in the specification which parameter aims at the goal's measure, which steps train before and after it, and how a
study's answer names the model to take; it imports nothing of the program. It is a rule of few lines, not a language
model: what an agent cannot read off the answers, this cannot guess.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent.parent
WORD = "MACs"
EMBEDDED = "digits"
PATIENCE = 1.5
"""How many times as long training after the compression takes in each further try."""


class Program:
    """`secateur` as a shell knows it; every call counts."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self.most, self.calls = folder, most, 0

    def __call__(self, *words: str, text: str = "") -> str:
        self.calls += 1
        if self.calls > self.most:
            raise SystemExit(f"not reached in {self.most} calls")
        print(f"{self.calls:>2}  secateur {' '.join(words)}", flush=True)
        environment = {**os.environ, "SECATEUR_HOME": str(self.folder / "w"), "PYTHONPATH": str(HOME)}
        command = [sys.executable, "-m", "engine.cli.main", *words]
        done = subprocess.run(
            command, env=environment, cwd=self.folder, input=text, capture_output=True, text=True, check=False
        )
        if done.returncode:
            print(f"    exit code {done.returncode}: {done.stdout.strip() or done.stderr.strip()}")
        return done.stdout

    def json(self, *words: str, text: str = "") -> Any:
        return json.loads(self(*words, "--json", text=text))


def learned(spec: dict[str, Any]) -> dict[str, str]:
    """What the specification says about reaching the goal: a measure, a parameter that aims at it, steps around it."""
    measures = [m for m in spec["measures"] if m["unit"] == WORD and m["better"] == "lower"]
    wanted = next(m for m in measures if "effective" in m["name"]) if len(measures) > 1 else measures[0]
    aims = [
        (step["name"], parameter)
        for step in spec["preset"]["steps"]
        for parameter in step["parameters"]
        if parameter["type"] == "number"
        and re.search(rf"until the {WORD} before over the {WORD} after", parameter["help"])
    ]
    step, parameter = aims[0]
    training = [s for s in spec["preset"]["steps"] if s["family"] == "training"]
    first = next(s for s in training if s["about"].startswith("Train the model"))
    after = next(s for s in training if "after a change" in s["about"])
    return {
        "measure": wanted["name"],
        "step": step,
        "aim": parameter["path"],
        "train": first["name"],
        "after": after["name"],
    }


def example(spec: dict[str, Any], known: dict[str, str]) -> dict[str, Any]:
    """Of the presets that come along one that sweeps the parameter, in its small version on the embedded data.

    The network is the preset's own: a small version may narrow it to be quick, and a narrow one has less to spare.
    """
    path = f"{known['step']}.{known['aim']}"
    small = [
        preset["quick"]["document"] | {"model": preset["document"]["model"]}
        for preset in spec["presets"]
        if preset["quick"] and path in preset["axes"]
    ]
    return next(document for document in small if document["data"]["name"] == EMBEDDED)


def preset(document: dict[str, Any], known: dict[str, str], times: float, points: float, epochs: int) -> str:
    """The example with another goal and a longer recovery, as JSON, which is YAML."""
    steps = [{kind: dict(values) for kind, values in step.items()} for step in document["steps"]]
    for step in steps:
        if known["train"] in step:
            step[known["train"]]["epochs"] = 2 * step[known["train"]]["epochs"]
        if known["after"] in step:
            step[known["after"]]["epochs"] = epochs
    kept = {name: document[name] for name in ("seed", "threads", "model", "data")}
    about = f"{times} times fewer {WORD}, at most {points} points lost"
    swept = {f"{known['step']}.{known['aim']}": [times, round(1.1 * times, 2)]}
    pick = {"by": known["measure"], "within": points}
    return json.dumps({"about": about, **kept, "steps": steps, "sweep": swept, "pick": pick})


def lost_on_test(found: dict[str, Any]) -> float:
    """What the pick, chosen on validation, loses on the test split: it has to hold there as well."""
    before = found["baseline"]["results"]["accuracy"]
    return float(before - found["trials"][found["pick"]["index"]]["results"]["accuracy"])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=float, default=4.0)
    parser.add_argument("--points", type=float, default=1.0)
    parser.add_argument("--calls", type=int, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        secateur = Program(Path(name), args.calls)
        asked = re.search(r"secateur (\w+ --json)", secateur("--help"))
        assert asked, "the help says nothing to programs"
        spec = json.loads(secateur(*asked[1].split()))
        known = learned(spec)
        print(f"    learned: {known}")
        aim, epochs = args.times, 8
        while True:
            found = secateur.json(
                "run", "-", text=preset(example(spec, known), known, aim, args.points, epochs)
            )
            pick = found.get("pick") or {}
            print(
                f"    {pick.get('text', 'no pick')}; within: {pick.get('within')}, {pick.get('times', 0):.2f} times"
            )
            kept = pick.get("within") and lost_on_test(found) <= args.points / 100
            if kept and pick["times"] >= args.times:
                break
            # Too little is gone: aim higher. Too much is lost, on validation or on the test split: train on for longer.
            aim = round(aim * 1.05, 2) if kept else aim
            epochs = epochs if kept else round(epochs * PATIENCE)
        card = secateur.json("export", found["study"], str(Path(name) / "model"))
        print(f"reached in {secateur.calls} calls: {pick['text']}; exported: {', '.join(card['files'])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
