"""The terminal lab: set parameters, watch the engine, read the curves. Knows no torch."""

import os

# Textual reads it once, at its import. Over a slow line an escape sequence may arrive in two packets, and
# with the default of 100 ms its first half would count as the Escape key.
os.environ.setdefault("ESCDELAY", "400")

# Looking for plugins of pydantic reads the metadata of every package that is installed, 100 small files.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
