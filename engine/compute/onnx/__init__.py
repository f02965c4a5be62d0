"""Networks as ONNX graphs: export, packing of narrow convolutions, running."""
