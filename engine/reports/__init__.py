"""Studies told on paper: tables, remarks, and whole reports as HTML and Markdown."""
