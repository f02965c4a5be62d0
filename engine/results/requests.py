"""What a study on a cluster asked for against what its tasks used, and a better request for the next one."""

from engine.slurm import duration
from engine.studies.state import StudyState, TaskState
from engine.text.numbers import duration as in_words
from engine.text.numbers import percent
from engine.text.phrases import counted

ROOM = 1.3
"""A better request has so much more than the most that was used."""
FEW = 0.5
"""Below this share of what was asked, less is suggested: a request that fits waits shorter."""
LEAST_S = 600.0
"""No shorter limit is suggested: nodes differ, and file systems have bad days."""


def lines(state: StudyState) -> list[str]:
    """The comparison, and the request if another would be better; nothing for studies without ended tasks."""
    ended = [task for task in state.tasks.values() if task.used]
    if not ended:
        return []
    parts, better = [], []
    for use in (_processors(ended), _memory(ended), _time(ended)):
        if use is not None:
            parts.append(use[0])
            better += [use[1]] if use[1] else []
    again = sum(task.restart > 0 for task in state.tasks.values())
    requeued = f", {again} of them started again" if again else ""
    hosts = ", ".join(dict.fromkeys(task.host for task in ended))
    out = [
        f"Slurm: {counted(len(ended), 'run of a task', 'runs of tasks')}{requeued} on {hosts}; {'; '.join(parts)}"
    ]
    if better and state.status == "done":
        out.append(f"a better request: {' '.join(f'--set executor.slurm.{option}' for option in better)}")
    return out


def _processors(ended: list[TaskState]) -> tuple[str, str] | None:
    asked = sum(task.given.get("cpus", 0) * task.used["seconds"] for task in ended)
    used = sum(task.used["cpu_seconds"] for task in ended)
    if not asked:
        return None
    cpus = max(task.given.get("cpus", 0) for task in ended)
    busy = used / asked
    needed = max(1, round(cpus * busy * ROOM + 0.5))
    longest = max(task.used["seconds"] for task in ended)
    fewer = f"cpus={needed}" if busy < FEW and needed < cpus and longest > LEAST_S else ""
    return f"{percent(busy, 0)} of {counted(cpus, 'processor')}", fewer


def _memory(ended: list[TaskState]) -> tuple[str, str] | None:
    peak = max(task.used["peak_memory"] for task in ended) / 2**20
    asked = max(task.given.get("memory_mb", 0) for task in ended)
    if not asked:
        return f"at most {peak:.0f} MB in one process", ""
    wanted = 100 * -(-int(peak * ROOM) // 100)
    return f"{peak:.0f} of {asked} MB in one process", f"memory={wanted}M" if peak < FEW * asked else ""


def _time(ended: list[TaskState]) -> tuple[str, str] | None:
    longest = max(ended, key=lambda task: task.used["seconds"])
    limit = longest.given.get("ends", 0.0) - longest.started if longest.given.get("ends") else 0.0
    if not limit:
        return f"the longest took {in_words(longest.used['seconds'])}", ""
    seconds = longest.used["seconds"]
    text = duration.text(max(LEAST_S, seconds * ROOM))
    less = f"time={text}" if seconds < FEW * limit and duration.seconds(text) < limit else ""
    return f"the longest took {in_words(seconds)} of {in_words(limit)}", less
