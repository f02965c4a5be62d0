"""The only part of the engine that imports torch, onnx, scikit-learn and their like."""

from engine.machine import environment

# Here, because nothing computes without importing this package, and MKL looks once, at its first computation.
environment.settle()
