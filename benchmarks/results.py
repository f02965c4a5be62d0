"""Where a benchmark's figures are kept, beside the processor that they are of."""

import json
import time
from pathlib import Path
from typing import Any

from engine.machine import environment

FOLDER = Path(__file__).resolve().parent / "results"


def write(name: str, result: dict[str, Any]) -> Path:
    """Keep `result` as results/NAME.json with the date, the processor and the packages; the file."""
    told = {"date": time.strftime("%Y-%m-%d"), "cpu": environment.cpu(), "packages": environment.packages()}
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(told | result, indent=1) + "\n", "utf-8")
    return path
