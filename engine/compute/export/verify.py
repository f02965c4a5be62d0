"""Checks an exported model: in a fresh process it must give what the trial's model gives, on real images."""

import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.compute.data import Dataset
from engine.compute.export import alone
from engine.compute.export.source import deviation
from engine.errors import SecateurError

MOST_IMAGES = 1000
MOST_BYTES = 128 << 20
"""Pixels that a check looks at; a thousand images tell what all of them would."""
BATCH = 50
"""Images per forward pass: equal on both sides, because it can change the last bits."""


@dataclass(frozen=True)
class Check:
    """What the comparison of outputs found.

    `deviation` is the largest difference over the largest output, 0.0 for equal bits. The accuracies are on
    the `images` compared, None where outputs are not scores per class; `changed` are predictions that differ.
    """

    images: int
    deviation: float
    accuracy: float | None
    accuracy_of_trial: float | None
    changed: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def verify(folder: Path, model: nn.Module, data: Dataset, tolerance: float) -> Check:
    """Run the model in `folder` in a process of its own against the trial's `model`, on test images.

    Raises SecateurError when it does not run, when its outputs deviate by more than `tolerance`, or when the
    class of an image changes that is no tie between classes.
    """
    split = data.test
    bytes_each = data.channels * data.size[0] * data.size[1]
    count = max(1, min(len(split), MOST_IMAGES, MOST_BYTES // bytes_each))
    index = torch.linspace(0, len(split) - 1, count).long()
    pixels = split.images.gather(index)
    images = data.normalize(pixels, channels_last=False)
    with torch.inference_mode():
        expected = torch.cat([model(part).contiguous() for part in torch.split(images, BATCH)])
    given = _alone(folder, pixels, images)
    check = compare(given, expected, split.labels[index] if data.task == "classification" else None)
    if check.deviation > tolerance:
        raise SecateurError(
            "The exported model does not compute what the trial's model does",
            f"On {count} test images its outputs differ by up to {check.deviation:.2g} of the largest output.",
            "Nothing was written. This is a bug of secateur's: please report the preset.",
        )
    return check


def compare(given: Tensor, expected: Tensor, labels: Tensor | None) -> Check:
    """Outputs of the exported model and of the trial's, (N, classes) where there are labels (N,).

    Raises SecateurError for a class that changes although no other was within the deviation.
    """
    found = deviation(given, expected)
    if labels is None or found == float("inf"):
        return Check(len(given), found, None, None, 0)
    now, before = given.argmax(1), expected.argmax(1)
    changed = (now != before).nonzero().squeeze(1)
    scale = float(expected.abs().max()) * found
    rows = expected[changed]
    margin = rows.amax(1) - rows.gather(1, now[changed].unsqueeze(1)).squeeze(1)
    if bool((margin > 2 * scale).any()):
        raise SecateurError(
            "The exported model classifies differently", f"{len(changed)} of {len(labels)} images."
        )
    accuracies = [float((predictions == labels).double().mean()) for predictions in (now, before)]
    return Check(len(given), found, accuracies[0], accuracies[1], len(changed))


def _alone(folder: Path, pixels: Tensor, images: Tensor) -> Tensor:
    with tempfile.TemporaryDirectory(prefix="secateur-") as place:
        given, out = Path(place, "given.safetensors"), Path(place, "out.safetensors")
        save_file({"pixels": pixels.contiguous(), "images": images.contiguous()}, given)
        words = [alone.__file__, folder, given, out, torch.get_num_threads(), BATCH]
        done = subprocess.run(
            [sys.executable, "-P", *map(str, words)], capture_output=True, text=True, check=False, cwd=place
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise SecateurError(
                "The exported model does not run on its own",
                lines[-1] if lines else f"Its process ended with {done.returncode}.",
                "Nothing was written. This is a bug of secateur's: please report the preset.",
            )
        outputs: Tensor = load_file(out)["outputs"]
        return outputs
