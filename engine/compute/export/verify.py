"""Checks an exported model: in a fresh process it must give what the trial's model gives, on real images."""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.compute.data import Dataset
from engine.compute.export import alone
from engine.compute.export.source import deviation
from engine.compute.numerics.aligned import to_array
from engine.errors import SecateurError
from engine.machine import private
from engine.text.phrases import counted

MOST_IMAGES = 1000
MOST_BYTES = 128 << 20
"""Pixels that a check looks at; a thousand images tell what all of them would."""
BATCH = 50
"""Images per forward pass: equal on both sides, because it can change the last bits."""


@dataclass(frozen=True)
class Tolerance:
    """How far an exported model may be from the trial's.

    `deviation` is the largest difference between outputs, over the largest output; `agreement` the least share
    of images whose class stays, for a format that computes something slightly else.
    """

    deviation: float
    agreement: float = 0.0


OTHER_RUNTIME_INT8 = Tolerance(0.1, 0.95)
"""OpenVINO rounds to INT8 in other places than ONNX Runtime: outputs were up to 2 % off, and 1.7 % of the images of
a network that was hardly trained changed class."""


@dataclass(frozen=True)
class Check:
    """What the comparison of outputs found.

    `deviation` is the largest difference over the largest output, 0.0 for equal bits, and `tolerance` what it
    may be. The accuracies are on the `images` compared; `changed` are predictions that differ, and `agreement` is
    the share of those that do not. These are None where outputs are not scores per class.
    """

    images: int
    deviation: float
    tolerance: float
    accuracy: float | None
    accuracy_of_trial: float | None
    changed: int | None

    @property
    def agreement(self) -> float | None:
        return None if self.changed is None else 1 - self.changed / self.images

    def keeps(self, tolerance: Tolerance) -> bool:
        """Whether it is no further from the trial's model than that."""
        return self.deviation <= tolerance.deviation and (
            self.agreement is None or self.agreement >= tolerance.agreement
        )

    def __str__(self) -> str:
        """What was found, in words: only equal bits are called equal."""
        images = counted(self.images, "image")
        if self.deviation == 0:
            return f"equal to the trial's model on {images}, bit for bit"
        changed = "" if self.changed is None else f", and {self.changed or 'none'} of them in the class"
        off = f"outputs differ by up to {self.deviation:.1e} of the largest"
        return f"{images} beside the trial's model: {off}{changed}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"agreement": self.agreement}


def verify(
    folder: Path, needs: tuple[str, ...], model: nn.Module, data: Dataset, tolerance: Tolerance
) -> Check:
    """Run the model in `folder` in a process of its own against the trial's `model`, on test images.

    That process has only the packages `needs`. Raises SecateurError when the model does not run there, or is
    further from the trial's than `tolerance`.
    """
    split = data.test
    bytes_each = data.channels * data.size[0] * data.size[1] * (1 if data.eight_bits else 4)
    index = split.spread(max(1, min(MOST_IMAGES, MOST_BYTES // bytes_each)))
    pixels = split.images.gather(index)
    with torch.inference_mode():
        # Each batch in memory of its own, as the other process has it.
        inputs = (
            data.normalize(part, channels_last=False) for part in torch.split(pixels, batches(len(index)))
        )
        expected = torch.cat([model(part).contiguous() for part in inputs])
    given = run_alone(folder, needs, pixels)
    labels = split.labels[index] if data.task == "classification" else None
    return judged(compare(given, expected, labels, tolerance.deviation), tolerance)


def batches(count: int) -> list[int]:
    """Sizes of batches that `count` images are run in: a single image first, because any number must do."""
    rest = count - 1
    return [1, *[BATCH] * (rest // BATCH), *([rest % BATCH] if rest % BATCH else [])]


def judged(check: Check, tolerance: Tolerance) -> Check:
    """The check itself; raises SecateurError if the model is too far off."""
    if check.keeps(tolerance):
        return check
    detail = f"On {check.images} test images its outputs differ by up to {check.deviation:.2g} of the largest output"
    if not check.deviation <= tolerance.deviation:
        raise SecateurError(
            "The exported model does not compute what the trial's model does",
            f"{detail}; {tolerance.deviation:.2g} is tolerated.",
            "Nothing was written. This is a bug of secateur's: please report the preset.",
        )
    raise SecateurError(
        "The exported model classifies otherwise than the trial's model",
        f"{check.changed} of {check.images} test images; {1 - tolerance.agreement:.0%} are tolerated. {detail}.",
        "Nothing was written: in this format it would be another model. Choose another format.",
    )


def compare(given: Tensor, expected: Tensor, labels: Tensor | None, tolerance: float) -> Check:
    """Outputs of the exported model and of the trial's, (N, classes) where there are labels (N,)."""
    error = deviation(given, expected)
    if labels is None or error == float("inf"):
        return Check(len(expected), error, tolerance, None, None, None)
    now, before = given.argmax(1), expected.argmax(1)
    after, of_trial = (float((predictions == labels).double().mean()) for predictions in (now, before))
    return Check(len(expected), error, tolerance, after, of_trial, int((now != before).sum()))


def run_alone(folder: Path, needs: tuple[str, ...], pixels: Tensor) -> Tensor:
    """What the model in `folder` gives for `pixels`, uint8 or float32 (N, C, H, W), in a process with only `needs`.

    Raises SecateurError when it does not run there.
    """
    with private.scratch() as place:
        job = {
            "folder": str(folder.absolute()),
            "needs": needs,
            "threads": torch.get_num_threads(),
            "batches": batches(len(pixels)),
            "shape": list(pixels.shape),
            "type": str(pixels.dtype).removeprefix("torch."),
        }
        (place / "job").write_text(json.dumps(job), "utf-8")
        (place / "pixels").write_bytes(to_array(pixels).tobytes())
        _run([sys.executable, "-P", alone.__file__, str(place / "job")], place)
        described = json.loads((place / "described").read_text("utf-8"))
        outputs = torch.frombuffer(
            bytearray((place / "outputs").read_bytes()), dtype=getattr(torch, described["dtype"])
        )
        return outputs.view(described["shape"])


def _run(command: list[str], place: Path) -> None:
    done = _started(command, place)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise SecateurError(
            "The exported model does not run on its own",
            lines[-1] if lines else f"Its process ended with {done.returncode}.",
            "Nothing was written. This is a bug of secateur's: please report the preset.",
        )


def _started(command: list[str], place: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=place)
