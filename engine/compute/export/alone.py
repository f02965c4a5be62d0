"""Runs an exported model's `load.py` in a process of its own, with none but the packages it says it needs.

`python alone.py JOB`: the JSON file JOB gives `folder`, `needs`, `threads`, the sizes of the `batches`, and the
`shape` and `type` of the images in the file `pixels`; the outputs are written into the file `outputs`, and their
type and shape into the file `described`. Raw bytes, because torch and NumPy have no other form in common.
"""

import ctypes
import importlib
import json
import math
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from itertools import accumulate
from pathlib import Path
from types import ModuleType
from typing import Any

BLOCKED = (
    *(
        "engine",
        "tui",
        "torch",
        "torchvision",
        "torch_pruning",
        "safetensors",
        "sklearn",
        "pandas",
        "ultralytics",
    ),
    *("onnx", "onnxscript", "onnxruntime", "openvino"),
)
"""What an exported folder must do without, unless its loader says that it needs it. NumPy may be there: others
bring it along."""


class Without:
    """A finder of modules to which some packages are not installed."""

    def __init__(self, finder: Any, packages: Sequence[str]) -> None:
        self._finder, self._packages = finder, packages

    def __getattr__(self, name: str) -> Any:
        """What else a finder can do, such as finding the versions of packages."""
        return getattr(self._finder, name)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] in self._packages:
            return None
        spec: ModuleSpec | None = self._finder.find_spec(name, path, target)
        return spec


def by_torch(load: Any, pixels: bytes, job: dict[str, Any]) -> tuple[bytes, str, list[int]]:
    import torch

    torch.set_num_threads(job["threads"])
    images = torch.frombuffer(bytearray(pixels), dtype=getattr(torch, job["type"]))
    images = images.view(job["shape"])
    model = load.load()
    with torch.inference_mode():
        outputs = torch.cat(
            [model(load.preprocess(part)) for part in parts(images, job["batches"])]
        ).contiguous()
    dtype = str(outputs.dtype).removeprefix("torch.")
    return ctypes.string_at(outputs.data_ptr(), outputs.nbytes), dtype, list(outputs.shape)


def by_numpy(load: Any, pixels: bytes, job: dict[str, Any]) -> tuple[bytes, str, list[int]]:
    import numpy

    images = numpy.frombuffer(pixels, job["type"]).reshape(job["shape"])
    model = load.load(threads=job["threads"])
    outputs = numpy.concatenate([model(load.preprocess(part)) for part in parts(images, job["batches"])])
    return outputs.tobytes(), str(outputs.dtype), list(outputs.shape)


def parts(images: Any, sizes: Sequence[int]) -> list[Any]:
    """The images in batches of these sizes."""
    return [images[end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True)]


def main() -> None:
    place = Path(sys.argv[1]).parent
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    blocked = [name for name in BLOCKED if name not in job["needs"]]
    sys.meta_path[:] = [Without(finder, blocked) for finder in sys.meta_path]
    sys.path.insert(0, job["folder"])
    sys.dont_write_bytecode = True  # all that lies in the folder is what leaves
    load = importlib.import_module("load")
    run = by_torch if "torch" in job["needs"] else by_numpy
    pixels = (place / "pixels").read_bytes()
    assert len(pixels) == math.prod(job["shape"]) * {"uint8": 1, "float32": 4}[job["type"]]
    outputs, dtype, shape = run(load, pixels, job)
    (place / "outputs").write_bytes(outputs)
    (place / "described").write_text(json.dumps({"dtype": dtype, "shape": shape}))


if __name__ == "__main__":
    main()
