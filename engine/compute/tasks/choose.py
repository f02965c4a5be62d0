"""The task that a data set is for."""

from engine.compute.data import Dataset
from engine.compute.tasks.base import Task
from engine.compute.tasks.classification import Classification


def task_of(data: Dataset) -> Task:
    """Classification, or detection where the targets are boxes."""
    if data.task == "detection":
        from engine.compute.tasks.detection import Detection

        return Detection()
    return Classification()
