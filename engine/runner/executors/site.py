"""What a site and a user have settled about Slurm, below what a preset says, and what Slurm says of itself.

`/etc/xdg/secateur/slurm.yaml` (or below each of $XDG_CONFIG_DIRS), then `~/.config/secateur/slurm.yaml`, then
`executor.slurm` of the preset: what is later wins. `default: true` in a file has presets that do not say where run by
Slurm.
"""

import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from engine.errors import SecateurError, UsageError
from engine.params.slurm import Slurm
from engine.slurm import commands, queue
from engine.store.files import read_json, write_json
from engine.store.paths import home

DEFAULT = "default"
NAME = Path("secateur") / "slurm.yaml"
DAY_S = 86_400.0
ARRAY = 1001
"""Slurm's own MaxArraySize where nothing else is configured: indices are below it."""


def files() -> list[Path]:
    """Where settings are looked for, the site's first."""
    shared = (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    own = Path(os.environ.get("XDG_CONFIG_HOME") or (home() or Path("/")) / ".config")
    return [*(Path(folder) / NAME for folder in reversed(shared) if folder), own / NAME]


def by_default() -> bool:
    """Whether presets that do not say where they run are to run by Slurm here: `default: true` in a file.

    Within a job they run where they are.
    """
    chosen = False
    for file in files():
        chosen = bool(_loaded(file).get(DEFAULT, chosen))
    return chosen and shutil.which("sbatch") is not None and "SLURM_JOB_ID" not in os.environ


def resolve(asked: Slurm) -> Slurm:
    """What the preset asks for, completed by the user's and the site's settings.

    Raises UsageError where one of their files can't be read.
    """
    given: dict[str, Any] = {}
    for file in files():
        given |= _read(file)
    return Slurm.model_validate(given | asked.model_dump(mode="json", exclude_unset=True))


def _read(file: Path) -> dict[str, Any]:
    """The options in a file."""
    options = {name: value for name, value in _loaded(file).items() if name != DEFAULT}
    try:
        return Slurm.model_validate(options).model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors())
        raise UsageError(
            f"{file} does not fit",
            wrong,
            f"It may have {DEFAULT}, and what `secateur params executor` lists below executor.slurm.",
        ) from error


def _loaded(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError:
        return {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not YAML", " ".join(str(error).split())) from error
    if not isinstance(content, dict | None):
        raise UsageError(f"{file} does not fit", "It has to be a mapping of options to values.")
    return content or {}


def largest_array() -> int:
    """How many tasks an array of this cluster may have; asked once a day."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", _daily("config", "scontrol", "show", "config"), re.M)
    return max(1, int(match[1]) - 1 if match else ARRAY - 1)


def partitions() -> list[dict[str, str]]:
    """The partitions: `name`, `default`, `time` (its limit), `nodes`, `cpus`, `memory` (MB), `gres`, `features`."""
    names = ("name", "time", "nodes", "cpus", "memory", "gres", "features")
    rows: dict[str, dict[str, str]] = {}
    for line in _daily("partitions", "sinfo", "-h", "-o", "%P|%l|%D|%c|%m|%G|%f").splitlines():
        row = dict(zip(names, (part.strip() for part in line.split("|")), strict=False))
        row |= {"default": "yes" if row["name"].endswith("*") else "", "name": row["name"].rstrip("*")}
        if (
            known := rows.setdefault(row["name"], row)
        ) is not row:  # nodes of another kind, on a line of their own
            known["nodes"] = str(int(known["nodes"]) + int(row["nodes"]))
            known["gres"] = ",".join(dict.fromkeys([known["gres"], row["gres"]])).replace("(null),", "")
    return list(rows.values())


def _daily(name: str, *command: str) -> str:
    """The answer of one of Slurm's programs, at most a day old; empty where there is none."""
    try:
        file = queue.cache() / f"{name}.json"
        noted: Any = read_json(file)
        if isinstance(noted, dict) and 0 <= time.time() - noted["asked"] < DAY_S:
            return str(noted["answer"])
        answer = commands.ask(*command)
        write_json(file, {"asked": time.time(), "answer": answer}, durable=False)
    except (OSError, KeyError, SecateurError):
        return ""
    return answer
