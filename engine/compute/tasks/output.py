"""What of a network's output is trained, as some give more than one in training; and how far outputs are apart."""

from typing import Any

import torch
from torch import Tensor

from engine.errors import UsageError

TINY = torch.finfo(torch.float64).tiny


def main_output(output: Any) -> Any:
    """The logits among what a classifier gives in training: its output, or the first of several.

    Auxiliary outputs come behind the main one, as torchvision's GoogLeNet and Inception have them.

    >>> main_output(("logits", "auxiliary")), main_output("logits")
    ('logits', 'logits')
    """
    return output[0] if isinstance(output, tuple | list) and output else output


def logits(output: object, images: Tensor, classes: int, name: str, doing: str) -> Tensor:
    """`output` of the network `name` for `images` (N, C, H, W), in float32, if it is what a classifier gives.

    Raises UsageError, with what it is instead of (N, `classes`); `doing` says when: "in training".
    """
    wanted = (len(images), classes)
    if isinstance(output, Tensor) and output.shape == wanted:
        return output.float()
    title = f"Model {name} does not classify into {classes} classes"
    needed = f"for {images_in(images)} {doing}; a tensor of {wanted} is needed."
    if isinstance(output, dict):
        keys = [key for key, value in output.items() if isinstance(value, Tensor) and value.shape == wanted]
        line = f"return output[{(keys or list(output) or ['logits'])[0]!r}]"
        raise UsageError(
            title,
            f"It gave a dict of {', '.join(map(repr, output)) or 'nothing'} {needed}",
            f"Return the logits alone, at the end of forward: `{line}` with what it returns now as `output`.",
        )
    if isinstance(output, tuple | list):
        raise UsageError(
            title,
            f"It gave {len(output)} outputs {needed}",
            "Return the logits alone in evaluation: auxiliary outputs only `if self.training`.",
        )
    got = f"a tensor of {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
    raise UsageError(
        title, f"It gave {got} {needed}", "Let the function take `classes` and use it for its last layer."
    )


def relative_square(expected: Tensor, given: Tensor) -> float:
    """Mean square of the difference, over that of `expected` from its mean over images; (N, …) both."""
    expected, given = expected.double(), given.double()
    spread = (expected - expected.mean(0)).square().mean()
    error = (given - expected).square().mean()
    return float(error / spread.clamp_min(TINY))


class RelativeSquare:
    """`relative_square` of outputs that are too many to be held: a few sums for each position are.

    Σ w (x - m)² = Σ w x² - 2 m Σ w x + m² Σ w, with the images' mean m; of x less the first image's, so that little is
    lost to rounding where images are nearly alike.
    """

    def __init__(self) -> None:
        self._count, self._error = 0, 0.0
        self._origin = self._values = self._weights = self._products = self._squares = torch.zeros(())

    def add(self, expected: Tensor, given: Tensor, weights: Tensor | None = None) -> None:
        """Take in a batch, (N, …) all; `weights` say how much each value counts."""
        if not self._count:
            self._origin = expected[0].double()
        for number, (one, other) in enumerate(zip(expected.double(), given.double(), strict=True)):
            shares = torch.ones_like(one) if weights is None else weights[number].double()
            self._count += 1
            self._error += float(((other - one).square() * shares).sum())
            one = one - self._origin
            self._values = self._values + one
            self._weights = self._weights + shares
            self._products = self._products + shares * one
            self._squares = self._squares + shares * one.square()

    @property
    def value(self) -> float:
        """Of all that was added."""
        mean = self._values / self._count
        spread = (self._squares - 2 * mean * self._products + mean.square() * self._weights).sum()
        return self._error / max(float(spread), TINY)


def images_in(images: Tensor) -> str:
    """How many they are, in words."""
    return "a single image" if len(images) == 1 else f"{len(images)} images"
