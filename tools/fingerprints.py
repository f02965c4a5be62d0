"""Writes `engine/compute/pretrained/tensor_names.py`: the tensor names of every torchvision classifier, hashed.

python tools/fingerprints.py
"""

from pathlib import Path

from engine.compute.models.architecture import Architecture
from engine.compute.pretrained.guess import fingerprint, known
from engine.compute.pretrained.shapes import skeleton
from engine.compute.pretrained.state_dict import COUNTER

HOME = Path(__file__).resolve().parent.parent

OUT = HOME / "engine" / "compute" / "pretrained" / "tensor_names.py"
HEAD = '''"""The tensor names of torchvision's classifiers; written by `python tools/fingerprints.py`."""

FINGERPRINTS = {
'''
TAIL = '''}
"""Of each model, its tensors' names as a hash, their number and the first one, counters of batches left out.

A network is built for comparison only where these agree.
"""
'''


def main() -> None:
    lines = []
    for name in known():
        names = list(skeleton(Architecture(name, 3, 1000, (224, 224))).state_dict())
        many = sum(not one.endswith(COUNTER) for one in names)
        lines.append(f'    "{name}": ("{fingerprint(names)}", {many}, "{names[0]}"),\n')
    OUT.write_text(HEAD + "".join(lines) + TAIL)


if __name__ == "__main__":
    main()
