"""Networks as files in 8 bits: their graph, the ranges of activations, the file, and how it is run."""
