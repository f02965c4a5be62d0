"""One module per family of pipeline steps."""
