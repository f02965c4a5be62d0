"""The model of the preset being edited."""
