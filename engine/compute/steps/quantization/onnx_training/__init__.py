"""The INT8 graph as a trainable module: parsed, trained with its roundings, written back."""
