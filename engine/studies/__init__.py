"""What a study is: its plan, jobs, events, state and folder."""
