"""The terminal lab."""
