"""Latency: pairs of networks measured in alternating blocks, each in a process of its own."""
