"""Networks: what one is, how it is built, its checkpoint, and the INT8 file as a network."""
