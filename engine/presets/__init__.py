"""Presets: YAML text → validated `Spec` with its trials, or every problem at once."""
