"""What is measured: each module is one command, `python -m benchmarks.NAME`; what it found stands in `results/`."""
