"""Does this machine give the same bits twice? Asked in processes of their own, made as a study's are."""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from engine.errors import BITS_COMMAND, SecateurError
from engine.runner import launch
from engine.text.phrases import counted, listed

OTHER_WAYS = (
    {"MKL_CBWR": "COMPATIBLE"},
    {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    {"ATEN_CPU_CAPABILITY": "default"},
    {"MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "default"},
)
"""Variables that make libraries take plainer instructions, those that cost least speed first where known."""


@dataclass(frozen=True)
class Bits:
    """What a check found.

    Attributes:
        threads: Threads that were computed with.
        checks: Each comparison: `what`, `network`, and `different`, the names of what had other bits.
        mended: Variables with which all was equal, where it was not without them.
        mended_by_one_thread: Whether it was equal on one thread, where no variables helped.
    """

    threads: int
    checks: tuple[dict[str, Any], ...]
    mended: dict[str, str] = field(default_factory=dict)
    mended_by_one_thread: bool = False

    @property
    def equal(self) -> bool:
        return not any(check["different"] for check in self.checks)

    @property
    def text(self) -> str:
        """What was found, what a difference means, and what to do, in sentences."""
        if self.equal:
            whats = ", ".join(dict.fromkeys(check["what"] for check in self.checks))
            networks = len({check["network"] for check in self.checks})
            return f"equal: {whats}; {counted(networks, 'network')}, {counted(self.threads, 'thread')}"
        return f"{self._differences()}. {MEANING} {self._remedy()}"

    def _differences(self) -> str:
        different = [check for check in self.checks if check["different"]]
        return "equal computations give other bits here: " + "; ".join(
            f"{check['network']} {check['what']} differs in {listed(check['different'], 2)}"
            for check in different
        )

    def _remedy(self) -> str:
        if self.mended:
            setting = " ".join(f"{name}={value}" for name, value in self.mended.items())
            return f"All is equal with `export {setting}`: set that before you start secateur here."
        if self.mended_by_one_thread:
            return "All is equal on one thread: write `threads: 1` into presets that run here."
        return f"Nothing that was tried makes it equal: please report what `{BITS_COMMAND} --json` prints."

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"equal": self.equal, "text": self.text}


MEANING = (
    "Results are as good as elsewhere, but a step can fail because its checkpoint does not load back equal, and a "
    "resumed or replayed study can differ in its last digits."
)


def check(threads: int) -> Bits:
    """Compare, and where something differs, find out what makes it equal. Takes some seconds.

    Raises SecateurError when the check itself fails.
    """
    bits = Bits(threads, _checked(threads, {}))
    if bits.equal:
        return bits
    for variables in OTHER_WAYS:
        if Bits(threads, _checked(threads, variables)).equal:
            return Bits(threads, bits.checks, mended=variables)
    alone = threads > 1 and Bits(1, _checked(1, {})).equal
    return Bits(threads, bits.checks, mended_by_one_thread=alone)


def _checked(threads: int, variables: dict[str, str]) -> tuple[dict[str, Any], ...]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "engine.compute.worker.selfcheck", str(threads)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=launch.process_environment() | variables,
    )
    try:
        return tuple(json.loads(done.stdout.strip().splitlines()[-1]))
    except (ValueError, IndexError):
        said = done.stderr.strip().splitlines() or [f"Its exit code was {done.returncode}."]
        raise SecateurError(
            "The check of this machine's bits did not come to its end",
            said[-1],
            "It may be an incomplete installation: `secateur doctor` without --bits tells.",
        ) from None
