"""The file `load.py`: a network's source with all that is needed to use it, by torch and safetensors alone."""

from engine import __version__
from engine.compute.data import Dataset
from engine.compute.export.code import literal
from engine.compute.export.source import Source

HEAD = '''"""A compressed network with the weights in {weights} beside this file, as secateur {version} wrote it.

Needs nothing but torch and safetensors:

    from load import CLASSES, load, preprocess

    model = load()                       # in eval mode; load(device="cuda") for a GPU
    outputs = model(preprocess(images))  # images: uint8 (N, {channels}, {height}, {width}); outputs: {outputs}

{training}
"""

import hashlib
{imports}from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
{alias}
WEIGHTS = "{weights}"
SHA256 = "{sha}"
"""Of the weights' file."""
CLASSES = {classes}
"""Names of the classes, in the order of the outputs."""
CHANNELS, HEIGHT, WIDTH = {channels}, {height}, {width}
MEAN = {mean}
STD = {std}
"""Of the training images, by channel, where 0 is black and 1 is white."""


'''
TAIL = '''


def preprocess(images):
    """Pixels, uint8 (N, CHANNELS, HEIGHT, WIDTH), as the network wants them: float32, less MEAN and over STD.

    Images of another size are first resized to HEIGHT×WIDTH, RESIZING_IN_WORDS.
    """
    mean = torch.tensor(MEAN, device=images.device)
    std = torch.tensor(STD, device=images.device)
    scale, shift = 1 / (255 * std), mean / std
    return images.to(torch.float32) * scale.view(1, -1, 1, 1) - shift.view(1, -1, 1, 1)


def load(folder=None, device="cpu", verify=True):
    """The network with its weights, in eval mode; `folder` holds them, by default this file's own.

    Raises ValueError when the weights are not those that this file was written for.
    """
    path = Path(folder or Path(__file__).resolve().parent) / WEIGHTS
    if verify and _sha256(path) != SHA256:
        raise ValueError(f"{path} was changed: its SHA-256 is not {SHA256}")
    model = Model()
    model.load_state_dict(load_file(path))
    return model.to(device).eval()


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    model = load()
    with torch.inference_mode():
        outputs = model(preprocess(torch.zeros(1, CHANNELS, HEIGHT, WIDTH, dtype=torch.uint8)))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters; outputs {tuple(outputs.shape)}")
'''
TRAINABLE = (
    "It can be trained on: model.train() (stochastic depth, which only acts in training, is left out)."
)
FIXED = """For inference only: the network is written down by its operators, with dropout off and the statistics of
normalization fixed, because it uses functions that are not torch's own."""
OUTPUTS = {
    "classification": "(N, {classes}), scores before the softmax",
    "detection": "(N, 4 + {classes}, anchors): centre, width and height in pixels, and a score per class",
}
RESIZING = {
    "classification": "bilinearly and antialiased",
    "detection": "bilinearly, keeping their proportions, the rest filled with grey (114)",
}


def load_py(source: Source, data: Dataset, weights: str, sha256: str) -> str:
    """The text of `load.py`; names from the data are written as literals, never as code."""
    height, width = data.size
    wanted = [name for name in ("math", "operator") if f"{name}." in source.text]
    head = HEAD.format(
        weights=weights,
        version=__version__,
        channels=data.channels,
        height=height,
        width=width,
        outputs=OUTPUTS[data.task].format(classes=data.classes),
        training=TRAINABLE if source.trainable else FIXED,
        imports="".join(f"import {name}\n" for name in wanted),
        alias="\naten = torch.ops.aten\n" if "aten." in source.text else "",
        sha=sha256,
        classes=literal(tuple(data.class_names)),
        mean=literal(tuple(data.mean.tolist())),
        std=literal(tuple(data.std.tolist())),
    )
    tail = TAIL.replace("RESIZING_IN_WORDS", RESIZING[data.task])
    return head + source.text + tail
