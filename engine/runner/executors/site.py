"""What a site and a user have settled about Slurm, below what a preset says, and what Slurm says of itself.

`/etc/xdg/secateur/slurm.yaml` (or below each of $XDG_CONFIG_DIRS), then `~/.config/secateur/slurm.yaml`, then
`executor.slurm` of the preset: what is later wins. `default: true` in a file has presets that do not say where run by
Slurm.
"""

import os
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine.config import files as config
from engine.errors import Problem, SecateurError, UsageError
from engine.params.slurm import Settled, Slurm
from engine.presets.validate import check
from engine.presets.wording import given
from engine.presets.yaml.tree import Mapping, is_empty, load
from engine.slurm import commands, queue
from engine.store.files import open_ordinary, read_json, write_json
from engine.store.paths import home

DEFAULT = "default"
NAME = "slurm.yaml"
DAY_S = 86_400.0
LONGEST = 1 << 20
OURS = r"--(array|dependency|job-name|comment|parsable|wrap)\b|-[adJ]"
"""Flags of sbatch without which a study's tasks would be others, or could not be found again."""
ARRAY = 1001
"""Slurm's own MaxArraySize where nothing else is configured: indices are below it."""


def files() -> list[Path]:
    """Where settings are looked for, the site's first."""
    return config.files(name=NAME)


def settled() -> dict[str, tuple[Any, Path]]:
    """Each option that a file settles, `default` among them, and the file: the user's, or else the site's.

    Raises UsageError where one of the files can't be read.
    """
    return {name: (value, file) for file in files() for name, value in _read(file).items()}


def by_default() -> Path | None:
    """The file that has presets run by Slurm here which do not say where they run: `default: true` in it.

    None where no file does, and within a job, where they run where they are. Raises UsageError where one of the files
    can't be read.
    """
    if shutil.which("sbatch") is None or "SLURM_JOB_ID" in os.environ:
        return None
    chosen, file = settled().get(DEFAULT, (False, None))
    return file if chosen else None


def resolve(asked: Slurm) -> Slurm:
    """What the preset asks for, completed by the user's and the site's settings.

    Raises UsageError where one of their files can't be read, or a flag is secateur's own.
    """
    values = {name: value for name, (value, _) in settled().items() if name != DEFAULT}
    _check_flags(asked.extra, "executor.slurm.extra")
    return Slurm.model_validate(values | asked.model_dump(mode="json", exclude_unset=True))


def problems() -> list[str]:
    """Why the files would have every study refused that runs by Slurm, a sentence for each."""
    found = []
    for file in files():
        try:
            _read(file)
        except UsageError as error:
            found.append(error.sentence)
    return found


def shown(file: Path) -> str:
    """A file as it is told: with ~ for the user's home."""
    own = home()
    return f"~/{file.relative_to(own)}" if own is not None and file.is_relative_to(own) else str(file)


def _check_flags(flags: Iterable[str], where: str) -> None:
    for flag in flags:
        if re.match(OURS, flag):
            raise UsageError(
                f"{where} can't have {flag}",
                "By that secateur tells its jobs apart, and deals them out.",
                "`secateur params executor` lists what can be asked for.",
            )


def _read(file: Path) -> dict[str, Any]:
    """What a file says, read as presets are: 1:30:00 is a time, `no` a text, and no name is there twice."""
    try:
        with open_ordinary(file) as opened:
            text = opened.read(LONGEST).decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise UsageError(
            f"{file} can't be read", f"{why}.", "It says how jobs are to be asked for."
        ) from error
    node, problems = load(text, lambda line: f"line {line}")
    if is_empty(node) and not problems:
        return {}
    if not isinstance(node, Mapping):
        problems += [Problem(node.place, "", given(node), "options with their values")] if node else []
    elif not problems:
        found, problems = check(Settled, node)
        if found is not None:
            _check_flags(found.extra, f"{file}: extra")
            return found.model_dump(mode="json", exclude_unset=True)
    raise UsageError(
        f"{file} does not fit",
        "\n".join(f"  {problem}" for problem in problems),
        f"It may have {DEFAULT}, and what `secateur params executor` lists below executor.slurm.",
    )


def largest_array() -> int:
    """How many tasks an array of this cluster may have; asked once a day."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", _daily("config", "scontrol", "show", "config"), re.M)
    return max(1, int(match[1]) - 1 if match else ARRAY - 1)


def limits_may_be_lifted() -> bool:
    """Whether a quality of service may lift a partition's time limit, as far as can be known; asked once a day."""
    config = _daily("config", "scontrol", "show", "config")
    if re.search(r"^AccountingStorageType\s*=\s*(accounting_storage/none|\(null\))\s*$", config, re.M):
        return False  # there is none without a database
    known = _daily("qos", "sacctmgr", "-nP", "show", "qos", "format=name,flags")
    return not known or "PartitionTimeLimit" in known


def partitions(*, fresh: bool = False) -> list[dict[str, str]]:
    """The partitions: `name`, `default`, `time` (its limit), `nodes`, `cpus`, `memory` (MB), `gres`, `features` of its
    first kind of node, and `most_cpus` and `most_memory` of any. Asked once a day, or now where that is to be `fresh`.
    """
    names = ("name", "time", "nodes", "cpus", "memory", "gres", "features")
    rows: dict[str, dict[str, str]] = {}
    answer = _daily("partitions", "sinfo", "-h", "-o", "%P|%l|%D|%c|%m|%G|%f", fresh=fresh)
    for line in answer.splitlines():
        row = dict(zip(names, (part.strip() for part in line.split("|")), strict=False))
        row |= {"default": "yes" if row["name"].endswith("*") else "", "name": row["name"].rstrip("*")}
        row |= {"most_cpus": row["cpus"], "most_memory": row["memory"]}
        if (
            known := rows.setdefault(row["name"], row)
        ) is not row:  # nodes of another kind, on a line of their own
            known["nodes"] = str(int(known["nodes"]) + int(row["nodes"]))
            for what in ("most_cpus", "most_memory"):
                known[what] = _larger(known[what], row[what])
            known["gres"] = ",".join(dict.fromkeys([known["gres"], row["gres"]])).replace("(null),", "")
    return list(rows.values())


def _larger(one: str, two: str) -> str:
    """The larger of two numbers; a text that is none, such as `500+`, where one of them is."""
    return next((text for text in (one, two) if not text.isdecimal()), "") or max(one, two, key=int)


def nodes_of(partition: dict[str, str]) -> str:
    """A partition's nodes in words; processors like ``32+`` where nodes differ.

    >>> nodes_of({"nodes": "1", "cpus": "2"}), nodes_of({"nodes": "4", "cpus": "32+"})
    ('1 node of 2 processors', '4 nodes of 32+ processors')
    """
    nodes, cpus = partition["nodes"], partition["cpus"]
    return f"{nodes} node{'s' * (nodes != '1')} of {cpus} processor{'s' * (cpus != '1')}"


def _daily(name: str, *command: str, fresh: bool = False) -> str:
    """The answer of one of Slurm's programs, at most a day old, or `fresh`; empty where there is none."""
    try:
        file = queue.cache() / f"{name}.json"
        noted: Any = read_json(file)
        if not fresh and isinstance(noted, dict) and 0 <= time.time() - noted["asked"] < DAY_S:
            return str(noted["answer"])
        answer = commands.ask(*command)
        write_json(file, {"asked": time.time(), "answer": answer}, durable=False)
    except (OSError, KeyError, SecateurError):
        return ""
    return answer
