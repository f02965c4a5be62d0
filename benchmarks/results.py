"""Results of benchmarks as files that others can read: benchmarks/results/NAME.json.

A file says how it was made (the command, the processor, the packages), so that its numbers can be told from those of
another machine. Nothing of the program is imported here.
"""

import datetime
import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
PACKAGES = ("torch", "onnxruntime", "openvino", "numpy")


def write(name: str, rows: Sequence[Mapping[str, Any]], *, title: str, **about: Any) -> Path:
    """Replace the results of the benchmark `name`; `about` is what holds for all `rows`. The file's path.

    The results' page (`tools.results`) has them under `title`, as a table whose heads are the rows' keys.
    """
    file = FOLDER / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    content = {"command": command(), "environment": environment(), "title": title, **about, "rows": rows}
    partial.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    partial.replace(file)
    return file


def tell(row: Mapping[str, Any]) -> None:
    """Print a row in a line, at once: some take minutes."""
    print("  ".join(f"{name}: {value}" for name, value in row.items()), flush=True)


UNJUDGED = 77
"""The exit code of a quick form that could measure nothing it may judge by (automake's, of a test that is skipped)."""


def judged(claims: Mapping[str, bool]) -> int:
    """Print of each claim whether it holds. The exit code of a benchmark's quick form: 1 where one does not."""
    for claim, holds in claims.items():
        print(f"{claim}: {'holds' if holds else 'DOES NOT HOLD'}", flush=True)
    return int(not all(claims.values()))


def mean_and_deviation(values: Sequence[float], digits: int | None = None) -> float | list[float]:
    """As the results' tables have it, rounded to so many digits if given; of a single value itself."""
    found = [values[0]] if len(values) == 1 else [statistics.fmean(values), statistics.stdev(values)]
    if digits is not None:
        found = [round(one, digits) for one in found]
    return found[0] if len(values) == 1 else found


def mean_of(value: float | list[float]) -> float:
    """The mean in what `mean_and_deviation` gave."""
    return value[0] if isinstance(value, list) else value


def command() -> str:
    """The command that runs, as it would be typed; of folders of this machine only their names."""
    spec = sys.modules["__main__"].__spec__
    program = f"python -m {spec.name}" if spec else Path(sys.argv[0]).name
    given = [Path(one).name if one.startswith("/") else one for one in sys.argv[1:]]
    return " ".join([program, *map(shlex.quote, given)])


def environment() -> dict[str, Any]:
    """What numbers depend on: the processor and how much of it is ours, Python and the packages, the day."""
    return {
        "processor": processor(),
        "processors": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "packages": {one: version for one in PACKAGES if (version := _version(one))},
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }


def processor() -> str:
    """The processor's name as `lscpu` has it, with family and model, which tell processors of one name apart."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    if "model name" not in fields:  # not an x86
        return platform.machine()
    return (
        f"{fields['model name']} (family {fields.get('cpu family', '?')}, model {fields.get('model', '?')})"
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
