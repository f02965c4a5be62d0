"""The machine: processor, memory, packages, inference runtimes, and the locks that studies on it share."""
