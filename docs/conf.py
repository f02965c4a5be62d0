"""How Sphinx builds the docs: `make docs`."""

from engine import __version__

project = "secateur"
author = "the secateur authors"
release = __version__
extensions = ["myst_parser", "sphinx_copybutton"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"secateur {__version__}"
html_extra_path = ["reference/preset.schema.json"]
copybutton_prompt_text = "$ "
nitpicky = True
