"""The scheduler Slurm: what is sent to it, what it answers, and what a job knows of itself."""

UNBEGUN = "slurm/unbegun"
"""Where in a study's folder a batch script marks that its task never began: exit code and host, in a file named by the
task."""
