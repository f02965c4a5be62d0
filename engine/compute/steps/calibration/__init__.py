"""Activations of a network, and the steps that only re-estimate statistics."""
