"""Where a study runs: on this machine, or (later) as Slurm jobs."""
