"""What is measured of a model: accuracy, counts, size, latency."""
