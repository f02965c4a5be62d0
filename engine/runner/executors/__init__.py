"""Who runs jobs, behind one interface."""
