"""Why a job waits, in words: Slurm's own names are for those who wrote it."""

REASONS = {
    "None": "just submitted",
    "Priority": "others come first",
    "Resources": "waiting for free nodes",
    "Dependency": "waiting for the stage before",
    "DependencyNeverSatisfied": "the stage before can never end",
    "JobArrayTaskLimit": "as many run as the study allows (executor.slurm.parallel)",
    "JobHeldUser": "held: `secateur release` lets it go",
    "JobHeldAdmin": "held by the administrators",
    "BeginTime": "requeued, starts again soon",
    "ReqNodeNotAvail": "a node that it needs is down or reserved",
    "Reservation": "waiting for its reservation",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition takes no jobs now",
    "PartitionNodeLimit": "asks for more nodes than the partition allows",
    "PartitionTimeLimit": "asks for more time than the partition allows",
    "NodeDown": "its node is down",
    "BadConstraints": "no node has what it asks for",
    "Licenses": "waiting for a licence",
    "Cleaning": "its last run is being cleaned up",
    "InvalidAccount": "the account is not valid",
    "InvalidQOS": "the quality of service is not valid",
    "JobLaunchFailure": "its node could not start it",
    "launch failed requeued held": "held, for its node could not start it: `secateur release` lets it go",
    "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions": (
        "the nodes that it needs are down, drained or reserved"
    ),
}
LIMITS = {"QOS": "the quality of service", "Assoc": "your account", "Max": "the site"}
"""Whose limit it is, by how the names of limits begin."""


def words(reason: str) -> str:
    """The reason in words; Slurm's own name where it is not known.

    >>> words("Priority"), words("QOSMaxCpuPerUserLimit"), words("Odd")
    ('others come first', 'a limit of the quality of service is met (QOSMaxCpuPerUserLimit)', 'Odd')
    """
    name = reason.strip("()").strip()
    first = name.partition(",")[0]
    if known := REASONS.get(name) or REASONS.get(first):
        return known
    for start, whose in LIMITS.items():
        if first.startswith(start):
            return f"a limit of {whose} is met ({first})"
    return name
