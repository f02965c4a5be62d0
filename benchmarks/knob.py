"""How fast the live knob answers, and how near its answers are to what a run of the same preset measures.

    python -m benchmarks.knob [--networks resnet20 resnet50] [--questions 40] [--threads 2] [--runs 2]

For each network a small study is run (ResNet20 on Fashion-MNIST, one epoch; ResNet-50 at 224 pixels, trained for two
batches: its accuracy means nothing, its seconds do). A knob then holds its model, and is asked for values drawn at
random, each as soon as the first answer to the one before has come: as from held keys. Each value is asked once before
(grids of bits are fitted when first needed, or while nothing is asked). Of --runs answers of each technique
the preset is then run, and measured as any trial. Results go to benchmarks/results/knob.json.
"""

import argparse
import os
import random
import sys
import time
from typing import Any

import yaml

from benchmarks import results, trained
from engine.machine import private
from engine.runner.knob import Answer, Knob
from tests.study_lab import Lab

MEASURES: dict[str, Any] = {"size": True}
PRESETS: dict[str, dict[str, Any]] = {
    "resnet20": {
        "model": {"name": "resnet20"},
        "data": {"name": "fashion-mnist", "limit": 8000, "limit_validation": 4000, "limit_test": 500},
        "steps": [{"train": {"epochs": 2, "learning_rate": 0.2}}],
        "measure": MEASURES,
    },
    "resnet50": {
        "model": {"name": "torchvision/resnet50"},
        "data": {
            "name": "fashion-mnist",
            "size": 224,
            "channels": 3,
            "limit": 64,
            "limit_validation": 200,
            "limit_test": 16,
        },
        "steps": [{"train": {"epochs": 1, "batch": 32}}],
        "measure": {"size": False},
    },
}
GOAL_S = {"resnet20": 0.3, "resnet50": 1.0}
"""Seconds that 95 of 100 first answers may take."""
QUICK = "--networks resnet20 --questions 2 --runs 1"
QUICK_OFF, QUICK_SIZE = 2.0, 0.15
READY_S, ANSWER_S, RUN_S = 600.0, 900.0, 3600.0


def study(lab: Lab, name: str, preset: dict[str, Any]) -> dict[str, Any]:
    """A preset carried out; what `run --json` prints."""
    text = yaml.safe_dump({"seed": 0, "threads": 2, "device": "cpu", **preset}, sort_keys=False)
    found: dict[str, Any] = lab.json("run", lab.preset(text, name))
    return found


def answers(knob: Knob, technique: str, value: float, *, first: bool) -> tuple[list[Answer], float]:
    """The answers to a question, the first alone or all; and the seconds from asking to the first."""
    knob.ask(technique, value)
    asked, found, seconds = time.monotonic(), list[Answer](), 0.0
    while time.monotonic() < asked + ANSWER_S and knob.state == "ready":
        found += knob.answers()
        seconds = seconds or (time.monotonic() - asked if found else 0.0)
        if found and (first or found[-1].final):
            return found, seconds
        time.sleep(0.002)
    raise SystemExit(f"no answer to {technique} {value}: {knob.reason}")


def values_of(knob: Knob, technique: str, count: int) -> list[float]:
    """Values drawn at random, but for the one that compresses least."""
    one = next(one for one in knob.techniques if one.name == technique)
    steps, chance = round((one.most - one.least) / one.step), random.Random(0)
    values = [round(one.least + one.step * chance.randint(0, steps), 9) for _ in range(2 * count)]
    return [value for value in values if value != one.start][:count]


def timed(knob: Knob, technique: str, count: int) -> dict[str, Any]:
    """Seconds until the first answers, warm, and how many images they rest on."""
    values = values_of(knob, technique, count)
    for value in dict.fromkeys(values):
        answers(knob, technique, value, first=True)
    seconds, images = [], []
    for value in values:
        found, took = answers(knob, technique, value, first=True)
        seconds.append(took)
        images.append(found[0].images)
    seconds.sort()
    return {
        "technique": technique,
        "p50 (s)": round(seconds[len(seconds) // 2], 3),
        "p95 (s)": round(seconds[min(int(0.95 * len(seconds)), len(seconds) - 1)], 3),
        "images of the first answer": min(images),
    }


def near(lab: Lab, name: str, knob: Knob, technique: str, count: int) -> list[dict[str, Any]]:
    """Answers beside what a run of their presets measures."""
    rows = []
    for number, value in enumerate(values_of(knob, technique, count)):
        found, _ = answers(knob, technique, value, first=False)
        preset = {**PRESETS[name], "steps": [*PRESETS[name]["steps"], *found[-1].steps()]}
        run = study(lab, f"{name}-{technique}-{number}", preset)["trials"][0]["results"]
        rows.append(
            {
                "technique": technique,
                "value": value,
                "first": round(100 * found[0].quality, 2),
                "error of the first": round(100 * found[0].error, 2),
                "last": round(100 * found[-1].quality, 2),
                "error of the last": round(100 * found[-1].error, 2),
                "measured": round(100 * run["validation_accuracy"], 2),
                "packed, estimated": found[-1].costs.size_packed,
                "packed": run["size"]["packed"],
            }
        )
        print(rows[-1], flush=True)
    return rows


def of_network(args: argparse.Namespace, lab: Lab, name: str) -> list[dict[str, Any]]:
    made = study(lab, name, PRESETS[name])["study"]
    started, rows = time.monotonic(), []
    with Knob(lab.study(made), 0, threads=args.threads) as knob:
        while not knob.answers() and knob.state == "starting" and time.monotonic() < started + READY_S:
            time.sleep(0.02)
        if knob.state != "ready":
            raise SystemExit(f"{name}: {knob.state} {knob.reason}")
        ready = time.monotonic() - started
        for technique in knob.techniques:
            row = {
                "network": name,
                **timed(knob, technique.name, args.questions),
                "ready after (s)": round(ready, 1),
            }
            row["goal (s)"] = GOAL_S[name]
            results.tell(row)
            rows.append(row)
        if PRESETS[name]["measure"]["size"]:
            rows += [
                {"network": name, **row}
                for technique in knob.techniques
                for row in near(lab, name, knob, technique.name, args.runs)
            ]
    return rows


def claims(rows: list[dict[str, Any]]) -> dict[str, bool]:
    """What the quick form finds of last answers."""
    off = [abs(row["last"] - row["measured"]) for row in rows]
    sizes = [row["packed, estimated"] / row["packed"] for row in rows]
    return {
        f"{len(rows)} answers at most {QUICK_OFF:g} points from what their presets measure": max(off)
        <= QUICK_OFF,
        f"and at most {QUICK_SIZE:.0%} of the file's size": all(abs(one - 1) <= QUICK_SIZE for one in sizes),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=list(PRESETS), choices=list(PRESETS))
    parser.add_argument("--questions", type=int, default=40, help="of each technique")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--runs", type=int, default=2, help="answers of each technique that are run as presets"
    )
    args = trained.parsed(parser, QUICK)
    with private.scratch() as folder:
        rows = [
            row for name in args.networks for row in of_network(args, Lab(folder, RUN_S, warm=False), name)
        ]
    if args.quick:
        return results.judged(claims([row for row in rows if "measured" in row]))
    results.write("knob", rows, title="The live knob", load=os.getloadavg()[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
