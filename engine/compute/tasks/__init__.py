"""What a network is trained for and judged by: a class per image, or boxes. The data decides."""

from engine.compute.tasks.base import Score, Task
from engine.compute.tasks.choose import task_of

__all__ = ["Score", "Task", "task_of"]
