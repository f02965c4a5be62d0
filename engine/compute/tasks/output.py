"""What of a network's output is trained: some give more than one in training."""

from typing import Any


def main_output(output: Any) -> Any:
    """The logits among what a classifier gives in training: its output, or the first of several.

    Auxiliary outputs come behind the main one, as torchvision's GoogLeNet and Inception have them.

    >>> main_output(("logits", "auxiliary")), main_output("logits")
    ('logits', 'logits')
    """
    return output[0] if isinstance(output, tuple | list) and output else output
