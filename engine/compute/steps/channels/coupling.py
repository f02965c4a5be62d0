"""Positions along the dimensions of a network's tensors, and which of them have to go together."""

from collections import defaultdict

import torch
from torch import Tensor

FIXED = 0
"""The class of positions that can't be removed: the network's input and output, and what is tied to them."""

PAIR = 2**31
"""More than the numbers of any network's positions."""
FREE = -1
"""The number of what does not depend on which channels there are, such as a norm over all of them: ties nothing."""


class CouplingGraph:
    """Numbers for positions of tensors, and ties between the numbers.

    A tensor's dimension has one number per position; a *loose* tensor (anything but the weight of a product)
    has one per element until it is known along which dimension its elements go together.
    """

    def __init__(self) -> None:
        self.dims: dict[tuple[str, int], Tensor] = {}
        self.loose: dict[str, Tensor] = {}
        self._next = FIXED + 1
        self._ties: list[Tensor] = []
        self.because = ""
        """What is followed now: the reason of what is fixed, and of what is `mixed`, meanwhile."""
        self._fixed: list[tuple[Tensor, str]] = []
        self._mixed: list[tuple[Tensor, str]] = []

    def dim(self, tensor: str, dim: int, size: int) -> Tensor:
        """The numbers (size,) of the positions along one dimension of a weight."""
        if (tensor, dim) not in self.dims:
            self.dims[tensor, dim] = self._new(size)
        return self.dims[tensor, dim]

    def elements(self, tensor: str, shape: torch.Size) -> Tensor:
        """The numbers of a loose tensor's elements, in its shape."""
        if tensor not in self.loose:
            self.loose[tensor] = self._new(shape.numel()).view(shape)
        return self.loose[tensor]

    def _new(self, count: int) -> Tensor:
        self._next += count
        return torch.arange(self._next - count, self._next)

    def tie(self, one: Tensor, two: Tensor) -> None:
        """What `one` and `two` number goes together, element by element (broadcast)."""
        pairs = torch.stack([part.flatten() for part in torch.broadcast_tensors(one, two)])  # type: ignore[no-untyped-call]
        pairs = pairs[:, (pairs != FREE).all(0)]
        # As one number each: unique pairs along a dimension take a hundred times as long.
        coded = torch.unique(pairs[0] * PAIR + pairs[1])
        self._ties.append(torch.stack([coded // PAIR, coded % PAIR]))

    def fix(self, numbers: Tensor) -> None:
        """None of these may be removed."""
        self._fixed.append((numbers[numbers > FIXED], self.because))
        self.tie(numbers, torch.tensor(FIXED))

    def mix(self, numbers: Tensor) -> None:
        """One number is computed of all of these."""
        self._mixed.append((numbers[numbers > FIXED], self.because))

    def reasons(self) -> "Reasons":
        """Why positions are fixed, and what computes one number of them."""
        return Reasons(self.classes(fixed=False), self._fixed, self._mixed)

    def fix_tensor(self, tensor: str, shape: torch.Size) -> None:
        """Nothing of the tensor may be removed, along whichever dimension."""
        self.fix(self.elements(tensor, shape))
        for dim, size in enumerate(shape):
            self.fix(self.dim(tensor, dim, size))

    def classes(self, *, fixed: bool = True) -> Tensor:
        """For every number the smallest number that it is tied to, directly or through others (numbers,); without
        `fixed`, not through what is fixed."""
        parent = torch.arange(self._next)
        if not self._ties:
            return parent
        ties = torch.cat(self._ties, dim=1)
        one, two = ties if fixed else ties[:, (ties != FIXED).all(0)]
        while True:
            # Every tie pulls both roots to the lesser one; then each number is pointed to its root's root until all
            # point to roots. By whole tensors: a large network has more numbers than a loop should touch.
            roots = parent[one], parent[two]
            least = torch.minimum(*roots)
            new = parent.clone()
            for side in roots:
                new.scatter_reduce_(0, side, least, "amin")
            while not torch.equal(jumped := new[new], new):
                new = jumped
            if torch.equal(new, parent):
                return parent
            parent = new


class Reasons:
    """What fixes positions, or computes one number of them, in the order of the pass."""

    def __init__(
        self, classes: Tensor, fixed: list[tuple[Tensor, str]], mixed: list[tuple[Tensor, str]]
    ) -> None:
        self._classes = classes
        self._fixed, self._mixed = (self._by_class(told) for told in (fixed, mixed))

    def _by_class(self, told: list[tuple[Tensor, str]]) -> dict[int, dict[str, None]]:
        found: dict[int, dict[str, None]] = defaultdict(dict)
        for numbers, why in told:
            for one in torch.unique(self._classes[numbers]).tolist():
                found[one][why] = None
        return found

    def fixing(self, numbers: Tensor) -> list[str]:
        """What fixes any of these, or others that they are tied to."""
        return self._of(numbers, self._fixed)

    def mixing(self, numbers: Tensor) -> list[str]:
        """What computes one number of any of these, or of others that they are tied to."""
        return self._of(numbers, self._mixed)

    def _of(self, numbers: Tensor, told: dict[int, dict[str, None]]) -> list[str]:
        own = torch.unique(self._classes[numbers]).tolist()
        return list(dict.fromkeys(why for one in own for why in told.get(one, ())))
