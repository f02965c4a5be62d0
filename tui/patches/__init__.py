"""What Textual doesn't do (yet)."""
