"""The commands of the `secateur` program, one module per group."""
