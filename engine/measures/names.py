"""What can stand on a plot's axes."""

from engine.measures.latency import FIELDS

MEASURES = (
    "accuracy",
    "validation_accuracy",
    "map50",
    "map50_95",
    "validation_map50",
    "validation_map50_95",
    "agreement",
    "teacher_agreement",
    "teacher_accuracy",
    "distillation_gain",
    "loss",
    "parameters",
    "nonzero_parameters",
    "sparsity",
    "macs",
    "effective_macs",
    "size.plain",
    "size.gzip",
    "size.packed",
    *FIELDS,
)
"""What a plot can show along either axis, beside swept parameters."""


RATE_MEASURES = ("validation_accuracy", "validation_map50_95", "validation_loss", "parameters", "macs")
"""What a plot can show along the rate of a sensitivity step."""
