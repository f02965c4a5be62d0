"""Networks with weights that users bring: files of any kind → a network that fits."""
