"""What people bring: every case of `benchmarks/cases`, run by the program as a user would, and its outcome.

    python -m benchmarks.bring [--quick] [--only B16 B17 …]

Right, refused in words (before anything is trained, where that is right too), or wrong. Takes some minutes; `--quick`
runs one case of each family.
"""

import argparse
import importlib.util
import sys
import time
from typing import Any

from benchmarks import results, trained
from benchmarks.cases import CASES, Case
from benchmarks.cases.base import run
from engine.machine import private

QUICK = "--only B20 B24"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="these cases; nothing is written")
    args = trained.parsed(parser, QUICK)
    rows = [row(case) for case in CASES if not args.only or case.id in args.only]
    wrong = sum(one["outcome"] == "wrong" for one in rows)
    print(f"{len(rows)} cases, {wrong} wrong")
    if not args.only:
        results.write(
            "bring", rows, title="What people bring", about="Inputs rebuilt in small from public reports."
        )
    return 1 if wrong else 0


def row(case: Case) -> dict[str, Any]:
    """The case's row of the table, printed as soon as it is there."""
    missing = [name for name in case.needs if importlib.util.find_spec(name) is None]
    started = time.monotonic()
    if missing:
        result = {"outcome": f"left out: {', '.join(missing)} is not installed", "said": ""}
    else:
        with private.scratch() as folder:
            verdict, said = case.outcome(run(case, folder))
        result = {"outcome": verdict, "said": said.replace(str(folder), "…")}
    print(
        f"{case.id:<5} {case.what:<62} {result['outcome']:<18} {time.monotonic() - started:4.0f} s  {result['said']}",
        flush=True,
    )
    return {"case": case.id, "brought": case.what, **result}


if __name__ == "__main__":
    sys.exit(main())
