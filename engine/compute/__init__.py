"""The only part of the engine that imports torch, onnx, scikit-learn and their like."""
