"""The resident worker of the live knob: one stored model, compressed without training as often as it is asked."""
