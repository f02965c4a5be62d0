"""The scheduler Slurm: what is sent to it, what it answers, and what a job knows of itself."""
