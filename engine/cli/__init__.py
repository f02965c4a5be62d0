"""The `secateur` program: a module per command."""
