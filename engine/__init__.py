"""secateur's engine: presets in, curves out. Imports torch only below `engine.compute`."""

__version__ = "0.1.0"
