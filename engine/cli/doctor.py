"""`doctor`: what this machine can do, and what is known to go wrong on it."""

import argparse
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.common import add_json, add_workspace, print_json, say

if TYPE_CHECKING:
    from engine.machine.limits import Limit

NETWORK_FILE_SYSTEMS = {
    "nfs",
    "nfs4",
    "lustre",
    "gpfs",
    "beegfs",
    "cifs",
    "fuse.sshfs",
    "ceph",
    "afs",
    "panfs",
}
NEEDED = {"memory": 700_000_000, "address space": 5_000_000_000, "processes": 8}
"""Bytes, and a number of processes and threads, below which a worker does not come up."""
LOW_SPACE = 2_000_000_000
"""Bytes below which a study may well run out of space."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    doctor = subparsers.add_parser(
        "doctor",
        help="what this machine can do, and what is wrong with it",
        description="Versions, processor features, GPU, inference runtimes with what they compute in, the "
        "workspace's file system and free space, and version pairs known to break. Exit code 1 if something will "
        "not work.",
    )
    doctor.add_argument(
        "--bits",
        action="store_true",
        help="also train a few steps twice, resume one of them and load a file placed at every kind of address: some "
        "seconds that tell whether equal computations give equal bits here",
    )
    add_workspace(doctor)
    add_json(doctor)
    doctor.set_defaults(run=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    from engine.machine import environment, gpus, limits, private, runtimes
    from engine.runner import bits
    from engine.store.workspace import workspace

    folder = workspace(args.workspace)
    device = environment.resolve_device("auto")
    here = [asdict(one) for one in runtimes.survey(device)]
    in_force = limits.in_force()
    use = disk_use(folder)
    facts = environment.describe() | {"workspace": examine(folder), "runtimes": here}
    facts["disk_use"] = use
    facts["devices"] = asdict(gpus.found())
    facts["slurm"] = cluster()
    facts["limits"] = [asdict(limit) | {"text": limit.text} for limit in in_force]
    problems = [*version_problems(environment.packages()), *workspace_problems(facts["workspace"])]
    wrong = private.problems()
    facts["private"] = str(private.folder()) if not wrong else ""
    problems += limit_problems(in_force) + wrong + facts["slurm"].pop("problems")
    notes = cpu_notes(facts["cpu"]) + thread_notes() + private.notes()
    if args.bits:
        checked = bits.check(environment.available_cpus())
        facts["bits"] = checked.as_dict()
        problems += [checked.text] * (not checked.equal)
    if args.json:
        print_json(facts | {"problems": problems, "notes": notes})
        return int(bool(problems))
    say(*_lines(facts))
    say(*(f"note: {note}" for note in notes))
    say(*(f"PROBLEM: {problem}" for problem in problems) if problems else ("no problems found",))
    return int(bool(problems))


def _lines(facts: dict[str, Any]) -> list[str]:
    from engine.text import numbers

    cpu, place = facts["cpu"], facts["workspace"]
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    return [
        f"secateur    {facts['secateur']}, Python {facts['python']}, {facts['platform']}, host {facts['host']}",
        f"packages    {packages}",
        f"processor   {cpu['model']}, {cpu['available']} usable; {' '.join(cpu['flags']) or 'no known features'}",
        f"memory      {numbers.size(facts['memory_bytes'])}",
        *(f"limit       {limit['text']}" for limit in facts["limits"]),
        *(
            f"GPU         {gpu['name']}, {numbers.size(gpu['memory'])}, compute capability {gpu['capability'] or '?'}, "
            f"CUDA_VISIBLE_DEVICES={gpu['visible']}"
            for gpu in facts["devices"]["gpus"]
        ),
        *(f"GPU         none: {facts['devices']['why']}" for _ in range(not facts["devices"]["gpus"])),
        *(_runtime(one) for one in facts["runtimes"]),
        f"workspace   {place['path']} on {place['file_system']}"
        f"{' (shared)' if place['shared'] else ''}, {numbers.size(place['free_bytes'])} free",
        *(
            f"private     {facts['private']}: locks, sockets, compiled code"
            for _ in range(bool(facts["private"]))
        ),
        *_disk_use(facts["disk_use"]),
        *_slurm(facts["slurm"]),
        *(f"bits        {facts['bits']['text']}" for _ in range("bits" in facts and facts["bits"]["equal"])),
    ]


def cluster() -> dict[str, Any]:
    """The Slurm cluster that this machine belongs to, the files that settle what is asked of it, and what these say.

    `problems` is what a study would be refused for.
    """
    from engine.runner.executors import site

    problems = site.problems()
    return {
        "partitions": site.partitions(),
        "files": [str(file) for file in site.files() if file.is_file()],
        "settled": {name: value for name, (value, _) in (site.settled() if not problems else {}).items()},
        "largest_array": site.largest_array(),
        "problems": problems,
    }


def _slurm(facts: dict[str, Any]) -> list[str]:
    from engine.runner.executors import site

    if not facts["partitions"]:
        return []
    names = ", ".join(
        f"{one['name']}{'*' * bool(one['default'])} ({site.nodes_of(one)}, up to {one['time']})"
        for one in facts["partitions"]
    )
    files = ", ".join(facts["files"]) or "no settings of the site's or yours"
    says = ", ".join(f"{name} {_brief(value)}" for name, value in facts["settled"].items())
    return [
        f"Slurm       {names}; arrays of at most {facts['largest_array']} tasks; {files}{f' ({says})' * bool(says)}"
    ]


def _brief(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).replace('"', "")


def disk_use(folder: Path) -> dict[str, int]:
    """Bytes of the workspace's studies and results, and how much of it nobody needs."""
    from engine.studies import holdings

    contents = holdings.holdings(folder)
    return {
        "studies": sum(one.folder for one in contents.holders if not one.deleted),
        "bin": sum(one.folder for one in contents.holders if one.deleted),
        "store": sum(item.size for item in contents.items),
        "left_over": sum(item.size for item in contents.left_over()),
    }


def _disk_use(use: dict[str, int]) -> list[str]:
    from engine.text import numbers

    in_bin = f", bin {numbers.size(use['bin'])}" if use["bin"] else ""
    left = f", {numbers.size(use['left_over'])} left over: `secateur clean`" if use["left_over"] else ""
    return [
        f"disk use    studies {numbers.size(use['studies'])}, store {numbers.size(use['store'])}{in_bin}{left}"
    ]


def _runtime(one: dict[str, Any]) -> str:
    """A runtime with what it computes in here, or why it can't be used."""
    name = f"runtime     {one['runtime']}" + (f" {one['version']}" if one["version"] else "")
    return f"{name}: {one['missing'] or ', '.join(one['precisions']) + ' on ' + one['device']}"


def examine(folder: Path) -> dict[str, Any]:
    """The file system that holds (or will hold) the workspace."""
    present = next(p for p in (folder, *folder.parents) if p.exists())
    kind = file_system(present)
    return {
        "path": str(folder),
        "exists": folder.exists(),
        "writable": os.access(present, os.W_OK),
        "file_system": kind,
        "shared": kind in NETWORK_FILE_SYSTEMS,
        "free_bytes": shutil.disk_usage(present).free,
    }


def file_system(path: Path) -> str:
    """The type of the file system that `path` lies on, from the longest mount point above it."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    real = path.resolve()
    points = [(Path(m[1].replace("\\040", " ")), m[2]) for m in mounts]
    above = [(point, kind) for point, kind in points if real.is_relative_to(point)]
    return max(above, key=lambda pair: len(pair[0].parts), default=(Path("/"), "unknown"))[1]


def version_problems(packages: dict[str, str]) -> list[str]:
    """Sentences about installed versions that are known not to work together."""
    problems = []
    torch, vision = packages.get("torch", ""), packages.get("torchvision", "")
    if not torch or not vision:
        return ["torch and torchvision are needed; install with the project's constraints.txt"]
    if _minor(vision) != _minor(torch) + 15:
        problems.append(
            f"torchvision {vision} was not built for torch {torch}: torch 2.N needs torchvision 0.N+15 "
            "(2.14 with 0.29); the wrong one ends in `operator torchvision::nms does not exist`"
        )
    if "+cpu" in torch and "+cpu" not in vision:
        problems.append(
            f"torch {torch} is a CPU-only build and torchvision {vision} is not: install both from one source"
        )
    if packages.get("plotext", "5.").split(".")[0] != "5":
        problems.append(f"plotext {packages['plotext']} is not supported: 5.3.2 is")
    return problems


def _minor(version: str) -> int:
    parts = version.split(".")
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else -1


def workspace_problems(place: dict[str, Any]) -> list[str]:
    problems = []
    if not place["writable"]:
        problems.append(f"the workspace {place['path']} is not writable: set SECATEUR_HOME")
    if place["free_bytes"] < LOW_SPACE:
        problems.append(
            f"little space is left for the workspace {place['path']}: set SECATEUR_HOME elsewhere"
        )
    return problems


def limit_problems(in_force: "list[Limit]") -> list[str]:
    """Sentences about limits under which no worker comes up."""
    return [
        f"{limit.text}: too little for torch and its libraries; raise it, or ask for more"
        for limit in in_force
        if limit.value < NEEDED.get(limit.what, 0)
    ]


def thread_notes() -> list[str]:
    """Whether variables keep `threads: auto` below what the processors would allow."""
    from engine.machine import limits

    asked = limits.asked_threads()
    return [] if asked is None else [f"OMP_NUM_THREADS={asked}: `threads: auto` takes no more for each trial"]


def cpu_notes(cpu: dict[str, Any]) -> list[str]:
    """What the processor's features mean for the numbers to expect."""
    flags = set(cpu["flags"])
    if flags & {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm"}:
        return ["INT8 instructions are there: quantized models can be faster than fp32 here"]
    return ["no INT8 instructions (VNNI, AMX): quantized models will hardly be faster here"]
