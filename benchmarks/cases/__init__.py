"""What people bring, in small: inputs that are written anew each time, and what the right outcome is."""

from benchmarks.cases.base import Case, Said, Verdict
from benchmarks.cases.code import CODE
from benchmarks.cases.images import IMAGES
from benchmarks.cases.networks import NETWORKS
from benchmarks.cases.weights import WEIGHTS

CASES: tuple[Case, ...] = tuple(
    sorted(
        (*CODE, *IMAGES, *NETWORKS, *WEIGHTS), key=lambda case: (case.id[0], int(case.id[1:3] or 0), case.id)
    )
)

__all__ = ["CASES", "Case", "Said", "Verdict"]
