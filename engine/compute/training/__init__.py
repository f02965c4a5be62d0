"""The training loop, its schedules and how it resumes."""
