"""Runs an exported model in a process of its own, without this project and without torchvision.

`python alone.py FOLDER IMAGES OUTPUTS THREADS BATCH`: IMAGES is a safetensors file with `pixels`, uint8, and
`images`, normalized float32; the outputs are written into the file OUTPUTS.
"""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

BLOCKED = ("engine", "tui", "torchvision", "torch_pruning", "ultralytics")
"""What the exported folder must do without."""


class Blocker:
    """Refuses imports as if the packages were not installed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"an exported model may not need {name}", name=name)
        return None


def by_loader(folder: Path) -> Callable[[Tensor, Tensor], Tensor]:
    spec = importlib.util.spec_from_file_location("load", folder / "load.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.load()

    def run(pixels: Tensor, images: Tensor) -> Tensor:
        outputs: Tensor = model(module.preprocess(pixels))
        return outputs

    return run


def by_onnxruntime(file: Path, threads: int) -> Callable[[Tensor, Tensor], Tensor]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels, images: torch.from_numpy(session.run(None, {name: images.numpy()})[0])


def main() -> None:
    folder, given, out, threads, batch = sys.argv[1:]
    sys.meta_path.insert(0, Blocker())
    torch.set_num_threads(int(threads))
    onnx = Path(folder, "model.onnx")
    run = by_onnxruntime(onnx, int(threads)) if onnx.exists() else by_loader(Path(folder))
    tensors = load_file(given)
    parts = (torch.split(tensors[name], int(batch)) for name in ("pixels", "images"))
    with torch.inference_mode():
        outputs = [run(pixels, images).contiguous() for pixels, images in zip(*parts, strict=True)]
    save_file({"outputs": torch.cat(outputs)}, out)


if __name__ == "__main__":
    main()
