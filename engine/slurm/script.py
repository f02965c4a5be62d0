"""The batch script of one stage of a study: one text, that can be read, changed and submitted by hand."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import UsageError
from engine.params.slurm import Slurm
from engine.slurm import UNBEGUN

OUTPUT = "%x-%A_%a.log"
"""What the tasks print, in the study's `slurm` folder."""
GUARD = (
    "trap 'code=$?; [ ${#BASH_SOURCE[@]} -gt 1 ] || { "
    'echo "executor.slurm.setup ended with $code at: $(sed -n "${LINENO}p" "$0")" '
    '"(where that does no harm, add || true)" >&2; exit $code; }\' ERR'
)
"""Ends the task at a line of `setup` that fails, with its words. Not `set -e`: what fails within functions, as of
`module`, and within files that a line reads is theirs; only what the line as a whole comes to counts."""
PORTABLE = ("PYTHONPATH", "SECATEUR_HOME", "SECATEUR_DATA", "SECATEUR_LOCKS", "XDG_CACHE_HOME")
"""Variables of ours that a task must have as the one who submitted it, where they are set."""


@dataclass(frozen=True)
class Stage:
    """What a script is for: `tasks` tasks of the stage `name` of the study in `folder`."""

    study: str
    folder: Path
    name: str
    tasks: int
    exclusive: bool


def text(
    asked: Slurm, stage: Stage, command: Sequence[str], variables: dict[str, str], exclude: Sequence[str] = ()
) -> str:
    """The script; `command` is the task's, to which the index of the array is added.

    `exclude` are nodes that failed under the study. Only what `asked` has is asked for; `asked.extra` comes last,
    so that it overrides.
    """
    mark = f"{shlex.quote(str(stage.folder / UNBEGUN))}/${{SLURM_ARRAY_JOB_ID:-none}}_${{SLURM_ARRAY_TASK_ID:-0}}"
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {flag}" for flag in flags(asked, stage, exclude)),
        "",
        # Undone by `exec` where that succeeds: the mark says that the task never began.
        f"trap 'echo \"$? $(hostname)\" > {_within_quotes(mark)}' EXIT",
        f"rm -f {mark}",
        *([GUARD, *asked.setup, "trap - ERR"] if asked.setup else []),
        *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        'echo "$(date +%FT%T) $(hostname) job ${SLURM_JOB_ID:-none}"',
        f'exec {_contained(asked.container)}{shlex.join(command)} "${{SLURM_ARRAY_TASK_ID:-0}}"',
        "",
    ]
    return "\n".join(lines)


def flags(asked: Slurm, stage: Stage, exclude: Sequence[str] = ()) -> list[str]:
    """The flags of a stage's array."""
    throttle = f"%{asked.parallel}" if asked.parallel else ""
    out = [
        f"--job-name={_quoted(f'{stage.study}.{stage.name}')}",
        f"--comment={_quoted(stage.folder)}",
        f"--array=0-{stage.tasks - 1}{throttle}",
        f"--output={_quoted(f'{_literal(stage.folder)}/slurm/{OUTPUT}')}",
        "--open-mode=append",
    ]
    out += [f"--{name}={_quoted(value)}" for name, value in requested(asked, exclude).items()]
    if asked.requeue is not None:
        out.append("--requeue" if asked.requeue else "--no-requeue")
    if asked.latency_exclusive and stage.exclusive:
        out.append("--exclusive")
    return [*out, *asked.extra]


def requested(asked: Slurm, exclude: Sequence[str] = ()) -> dict[str, object]:
    """What is asked for of each task, by the names of sbatch's options; `exclude` as in `text`."""
    given = {
        "partition": asked.partition,
        "account": asked.account,
        "qos": asked.qos,
        "time": asked.time,
        "nodes": asked.nodes,
        "cpus-per-task": asked.cpus,
        "mem": asked.memory,
        "gres": None if asked.gpus is None else f"gpu:{asked.gpus}",
        "constraint": asked.constraint,
        "exclude": ",".join([*([asked.exclude] if asked.exclude else []), *exclude]) or None,
        "reservation": asked.reservation,
        "signal": None if asked.signal_before is None else f"B:USR1@{asked.signal_before}",
    }
    return {name: value for name, value in given.items() if value is not None}


def _quoted(value: object) -> str:
    """A value as a line of `#SBATCH` takes it: in quotes, unless it is a plain word.

    Raises UsageError for one that does not fit on a line.
    """
    word = str(value)
    if re.search(r"[\x00-\x1f\x7f]", word):
        raise UsageError(
            "A batch script can't hold a line break or control character", f"{word!r}.", "Rename the folder."
        )
    escaped = re.sub(r'(["\\])', r"\\\1", word)
    return word if re.fullmatch(r"[\w.,:/%@=+-]*", word, re.ASCII) else f'"{escaped}"'


def _within_quotes(words: str) -> str:
    """Shell text as it stands between single quotes."""
    return words.replace("'", "'\\''")


def _literal(path: Path) -> str:
    """A path in which sbatch replaces nothing."""
    return str(path).replace("%", "%%")


def _contained(image: str | None) -> str:
    return f"apptainer exec {shlex.quote(image)} " if image else ""
