"""What a study found: summaries, sensitivities, layers, and the model to take away."""
