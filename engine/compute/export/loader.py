"""The file `load.py`: all that is needed to use an exported model, by the libraries of its format alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine import __version__
from engine.compute.data import Dataset
from engine.compute.export import templates
from engine.compute.export.code import literal
from engine.compute.export.image_files import read_py, resizing
from engine.compute.export.source import Source
from engine.results.exports import Format


@dataclass(frozen=True)
class Loader:
    """How the `load.py` of one format differs from the others'.

    Attributes:
        what: What the model is, in a few words.
        needs: The packages that it imports.
        imports: The lines that import them.
        load: The function `load`.
        options: What `load` can be told, by an example.
        note: What else its user has to know.
    """

    what: str
    needs: tuple[str, ...]
    imports: str
    load: str
    options: str
    note: str

    @property
    def by_torch(self) -> bool:
        """Whether images and outputs are torch's tensors; else NumPy's arrays."""
        return "torch" in self.needs


_THREADS = "load(threads=1) for one thread"
_DEVICE = 'load(device="cuda") for a GPU'
_INFERENCE = "It is for inference only; images and outputs are NumPy arrays, N may be any number."
_QUIET = 'os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # it would report home from its first import on'
_ALONE = 'sys.modules["openvino_telemetry"] = None  # it would report home whenever it is imported'
_ONNX = (
    f"import os\n\n{_QUIET}\nimport numpy\nimport onnxruntime",
    templates.LOAD_ONNX,
    _THREADS,
    _INFERENCE,
)

LOADERS: dict[Format, Loader] = {
    "safetensors": Loader(
        "its source here and its weights beside this file",
        ("torch", "safetensors"),
        "import torch\nfrom safetensors.torch import load_model\nfrom torch import nn",
        templates.LOAD_SAFETENSORS,
        _DEVICE,
        "",
    ),
    "packed": Loader(
        "its source here and its weights packed beside this file",
        ("torch", "numpy"),
        "import torch\nfrom torch import nn\n\nfrom unpack import unpack",
        templates.LOAD_PACKED,
        _DEVICE,
        "",
    ),
    "onnx": Loader("an ONNX file beside this one", ("onnxruntime", "numpy"), *_ONNX),
    "int8-onnx": Loader("in INT8, an ONNX file beside this one", ("onnxruntime", "numpy"), *_ONNX),
    "int8-packed": Loader(
        "in INT8, an ONNX file packed beside this one",
        ("onnxruntime", "numpy"),
        f"import os\nimport zlib\n\n{_QUIET}\nimport numpy\nimport onnxruntime\n\nfrom unpack import unpack",
        templates.LOAD_PACKED_INT8,
        _THREADS,
        _INFERENCE,
    ),
    "pt2": Loader(
        "a program of torch.export beside this file",
        ("torch",),
        "import torch\nfrom torch.export.passes import move_to_device_pass",
        templates.LOAD_PT2,
        _DEVICE,
        "It is for inference only; N may be any number.",
    ),
    "openvino": Loader(
        "OpenVINO's files beside this one",
        ("openvino", "numpy"),
        f"import sys\n\n{_ALONE}\nimport numpy\nimport openvino",
        templates.LOAD_OPENVINO,
        _THREADS,
        _INFERENCE,
    ),
}
TRAINABLE = (
    "It can be trained on: model.train() (stochastic depth, which only acts in training, is left out)."
)
FIXED = """For inference only: the network is written down by its operators, with dropout off and the statistics of
normalization fixed, because it uses functions that are not torch's own."""
OUTPUTS = {
    "classification": "(N, {classes}), scores before the softmax",
    "detection": "(N, 4 + {classes}, anchors): centre, width and height in pixels, and a score per class",
}


def load_py(
    form: Format,
    data: Dataset,
    sums: Mapping[str, str],
    source: Source | None = None,
    names: str = "",
    *,
    by_image: bool = False,
) -> str:
    """The text of `load.py`; names from the data are written as literals, never as code.

    `sums` are the SHA-256 of the model's files, the one to load first; `source` is the network's, for formats
    of weights alone; `names` are further constants that its function `load` wants (`packed_names`). `by_image`: the
    model is called with one image at a time.
    """
    loader = LOADERS[form]
    load = loader.load.replace(templates.TOGETHER, templates.BY_IMAGE) if by_image else loader.load
    preprocess = templates.PREPROCESS_TORCH if loader.by_torch else templates.PREPROCESS_NUMPY
    parts = [
        _head(loader, data, sums, source) + names,
        *([f"\n{source.text}\n"] if source else []),
        preprocess.format(resizing=resizing(data), kind=stored_as(data)),
        read_py(data, loader.by_torch),
        load,
        templates.PLACE,
        templates.MAIN_TORCH if loader.by_torch else templates.MAIN_NUMPY,
    ]
    return "\n".join(part for part in parts if part)


def stored_as(data: Dataset) -> str:
    """The type of pixels as they are stored."""
    return "uint8" if data.eight_bits else "numbers"


def packed_names(dictionaries: Sequence[str], shared: Mapping[str, str]) -> str:
    """The constants that tell which tensors of the network a packed file holds otherwise than as they are."""
    return templates.PACKED_NAMES.format(
        dictionaries=literal(tuple(dictionaries)), shared=literal(dict(shared))
    )


def _head(loader: Loader, data: Dataset, sums: Mapping[str, str], source: Source | None) -> str:
    height, width = data.size
    text = source.text if source else ""
    modules = [name for name in ("math", "operator") if f"{name}." in text]
    note = loader.note if source is None else TRAINABLE if source.trainable else FIXED
    lines = "".join(f'    "{name}": "{digest}",\n' for name, digest in sums.items())
    return templates.DOC.format(
        what=loader.what,
        version=__version__,
        needs=" and ".join(loader.needs),
        options=loader.options,
        channels=data.channels,
        height=height,
        width=width,
        kind=stored_as(data),
        black=literal(data.black),
        white=literal(data.white),
        outputs=OUTPUTS[data.task].format(classes=data.classes),
        note=note,
        modules="".join(f"import {name}\n" for name in modules),
        imports=loader.imports + ("\n\naten = torch.ops.aten" if "aten." in text else ""),
        file=next(iter(sums)),
        sums=f"{{\n{lines}}}",
        classes=literal(tuple(data.class_names)),
        mean=literal(tuple(data.mean.tolist())),
        std=literal(tuple(data.std.tolist())),
    )
