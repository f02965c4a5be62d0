"""Why a job waits, in words: Slurm's own names are for those who wrote it.

The names are those of `squeue`'s page, "JOB REASON CODES", and those that Slurm 22.05's source has beside them.
"""

import re

REASONS = {
    "None": "just submitted",
    "WaitingForScheduling": "Slurm has not looked at it yet",
    "Priority": "others come first",
    "Resources": "waiting for free nodes",
    "Dependency": "waiting for the stage before",
    "DependencyNeverSatisfied": "the stage before can never end",
    "JobArrayTaskLimit": "as many run as the study allows (executor.slurm.parallel)",
    "JobHeldUser": "held: `secateur release` lets it go",
    "JobHeldAdmin": "held by the administrators",
    "JobHoldMaxRequeue": "held, for it was started again too often: `secateur release` lets it go",
    "BeginTime": "requeued, starts again soon",
    "ReqNodeNotAvail": "a node that it needs is down or reserved",
    "Reservation": "waiting for its reservation",
    "ReservationDeleted": "its reservation is gone (executor.slurm.reservation)",
    "PartitionConfig": "asks for what no node of the partition has: fewer processors, memory, GPUs or nodes would run",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition takes no jobs now",
    "PartitionNodeLimit": "asks for more nodes than the partition allows, or these are down",
    "PartitionTimeLimit": "asks for more time than the partition allows",
    "NodeDown": "its node is down",
    "FrontEndDown": "no front-end node is up",
    "BadConstraints": "no node has what it asks for",
    "Licenses": "waiting for a licence",
    "Cleaning": "its last run is being cleaned up",
    "Prolog": "its node is being prepared",
    "InvalidAccount": "the account is not valid",
    "InvalidQOS": "the quality of service is not valid",
    "QOSUsageThreshold": "less was used of the quality of service than it asks for, or more than it allows",
    "QOSNotAllowed": "the quality of service is not allowed in the partition",
    "AccountNotAllowed": "the account is not allowed in the partition",
    "JobLaunchFailure": "its node could not start it",
    "NonZeroExitCode": "its last run failed",
    "SystemFailure": "Slurm, a node or a file system failed under it",
    "TimeLimit": "its last run met its time limit",
    "InactiveLimit": "its last run was idle for too long",
    "DeadLine": "its deadline can't be met",
    "MaxMemPerLimit": "asks for more memory than the site allows",
    "BurstBufferResources": "waiting for the burst buffer",
    "BurstBufferStageIn": "its files are being copied to the burst buffer",
    "launch failed requeued held": "held, for its node could not start it: `secateur release` lets it go",
    "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions": (
        "the nodes that it needs are down, drained or reserved"
    ),
}
LIMITS = (
    (r"(Assoc|QOS)Grp\w+", "all of {whose} together use as much as they may"),
    (r"(Assoc|QOS)\w*(PerJob|PerNode)(Limit)?", "asks for more than a job of {whose} may have"),
    (
        r"(Assoc|QOS|Max)\w*(PerUser|PerAccount|Jobs?)(Limit)?",
        "what runs already is all that {whose} allows",
    ),
    (r"QOSMin\w+", "asks for less than a job of {whose} has to"),
    (r"(Assoc|QOS)\w+", "a limit of {whose} is met"),
)
"""What names of limits mean, by how they are made: the first that fits."""
WHOSE = {"QOS": "the quality of service", "Assoc": "your account", "Max": "your account"}
"""Whose limit it is, by how the names of limits begin."""


def words(reason: str, *, held: bool = True) -> str:
    """The reason in words, with Slurm's own name where there are many of its kind, or none of ours.

    `held`: false for a job that is not held, whatever reason stands there still from before.

    >>> words("Priority"), words("MaxJobsPerAccount"), words("Odd")
    ('others come first', 'what runs already is all that your account allows (MaxJobsPerAccount)', 'reason Odd')
    >>> words("JobHeldAdmin"), words("JobHeldAdmin", held=False)
    ('held by the administrators', 'let go, and in the queue again')
    """
    name = reason.strip("()").strip()
    first = name.partition(",")[0]
    if not held and first.startswith("JobHe"):
        return "let go, and in the queue again"
    if known := REASONS.get(name) or REASONS.get(first):
        return known
    for pattern, meaning in LIMITS:
        if found := re.fullmatch(pattern, first):
            whose = next(whose for start, whose in WHOSE.items() if found[0].startswith(start))
            return f"{meaning.format(whose=whose)} ({first})"
    return name if " " in name else f"reason {name}"
