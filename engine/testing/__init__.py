"""Fabricated studies for tests, benchmarks and screenshots: nothing is computed."""
