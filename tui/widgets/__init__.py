"""Widgets that every screen uses."""
