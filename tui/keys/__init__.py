"""One table of actions: keys, footer, palette, help and docs come from it."""
