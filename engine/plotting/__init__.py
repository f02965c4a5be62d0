"""Charts from results: one figure model, drawn as terminal text, SVG, PNG or CSV."""
