"""YAML with the line of every value, and errors in words."""
