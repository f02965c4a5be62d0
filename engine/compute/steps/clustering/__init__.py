"""`cluster.weights`, `cluster.filters`, `cluster.kernels`."""
