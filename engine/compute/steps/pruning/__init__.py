"""`prune.weights`: unstructured and N:M sparsity."""
