"""Training with a teacher: its losses, the layers that are compared, and the objective made of both."""

from engine.compute.distillation.objective import Taught, taught

__all__ = ["Taught", "taught"]
