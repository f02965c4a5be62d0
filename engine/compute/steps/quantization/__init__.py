"""`quantize.*`: INT8 files, quantization-aware training, weights of few bits."""
