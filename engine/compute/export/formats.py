"""Writes a model in the formats that it can be taken away in, each with the `load.py` that needs no secateur."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from onnx import load_model
from torch import Tensor, nn

from engine.compute.data import Dataset
from engine.compute.export import program
from engine.compute.export.loader import LOADERS, load_py, packed_names
from engine.compute.export.source import TOLERANCE, Source, generate
from engine.compute.export.verify import OTHER_RUNTIME_INT8, Tolerance
from engine.compute.layers import masks
from engine.compute.layers.dictionaries import in_parts
from engine.compute.layers.grids import grids
from engine.compute.measures import packed, unpack
from engine.compute.measures.sizes import once
from engine.compute.models import checkpoint, int8
from engine.compute.models.alike import folder_for
from engine.compute.models.int8 import QuantizedNetwork
from engine.compute.numerics.aligned import bits, to_array
from engine.compute.onnx import export as onnx
from engine.compute.onnx import narrow
from engine.errors import SecateurError
from engine.results.exports import Format
from engine.store.keys import file_hash

LOADER = "load.py"
ONNX, PT2, IR = "model.onnx", "model.pt2", ("model.xml", "model.bin")
PACKED, READER = "model.packed", "unpack.py"
EXACT = Tolerance(0.0)

Tell = Callable[[str], None]
"""Takes a line about what is being done."""


@dataclass(frozen=True)
class Written:
    """What was written: the packages that its loader needs, how far it may be off, whether it can be trained."""

    needs: tuple[str, ...]
    tolerance: Tolerance
    trainable: bool = False
    lanes: int = 0
    """Channels at once that convolutions are packed for (`engine.compute.onnx.narrow`); 0: none is."""


def write_model(
    folder: Path, form: Format, model: nn.Module, data: Dataset, tell: Tell, templates: Path | None = None
) -> Written:
    """Write a model, as it is in a checkpoint, in one format and with what loads it; `folder` is there.

    `templates` is a folder where graphs are kept for networks built alike. Raises SecateurError for a model that can't
    be written so.
    """
    shape = (data.channels, *data.size)
    source, lanes, names = None, 0, ""
    match form:
        case "safetensors":
            source, tolerance = _safetensors(folder, model, shape, tell)
            files: tuple[str, ...] = (checkpoint.TENSORS,)
        case "packed":
            source, tolerance, names = _packed(folder, model, shape, tell)
            files = (PACKED,)
        case "onnx":
            lanes = _onnx(model, shape, folder / ONNX, tell, templates)
            files, tolerance = (ONNX,), Tolerance(onnx.TOLERANCE)
        case "pt2":
            tell("writing the network as a program of torch.export")
            program.write(masks.folded(model).eval(), shape, folder / PT2)
            files, tolerance = (PT2,), Tolerance(TOLERANCE)
        case "int8-onnx":
            (folder / int8.FILE).write_bytes(_quantized(model).file)
            files, tolerance = (int8.FILE,), EXACT
        case "int8-packed":
            _packed_int8(folder, _quantized(model), tell)
            files, tolerance = (PACKED,), EXACT
        case "openvino":
            files = IR
            tolerance, lanes = _openvino(folder, model, shape, tell, templates)
        case unknown:
            assert_never(unknown)
    sums = {name: file_hash(folder / name) for name in files}
    by_image = isinstance(model, QuantizedNetwork) and model.by_image
    (folder / LOADER).write_text(load_py(form, data, sums, source, names, by_image=by_image), "utf-8")
    for name in files:
        # safetensors writes for the owner alone; these files are to be given away, as far as the umask allows.
        (folder / name).chmod((folder / LOADER).stat().st_mode)
    return Written(LOADERS[form].needs, tolerance, source is not None and source.trainable, lanes)


def _source(plain: nn.Module, shape: tuple[int, int, int], tell: Tell) -> tuple[Source, Tolerance]:
    tell("writing the network as source")
    source = generate(plain, shape)
    return source, EXACT if source.trainable else Tolerance(TOLERANCE)


def _safetensors(
    folder: Path, model: nn.Module, shape: tuple[int, int, int], tell: Tell
) -> tuple[Source, Tolerance]:
    plain = masks.folded(model).eval()
    source, tolerance = _source(plain, shape, tell)
    checkpoint.save(plain, folder)
    return source, tolerance


def _packed(
    folder: Path, model: nn.Module, shape: tuple[int, int, int], tell: Tell
) -> tuple[Source, Tolerance, str]:
    """Write the file whose size is the measure's, and its reader; beside the source, the constants that it wants."""
    source, tolerance = _source(masks.folded(model).eval(), shape, tell)
    tell("packing the weights")
    tensors, shared = once(checkpoint.folded_state(model))
    _write_packed(folder, packed.dump(tensors, grids(model)), tensors)
    names = [f"{name}.weight" for name in in_parts(model)]
    return source, tolerance, packed_names(names, shared)


def _packed_int8(folder: Path, model: QuantizedNetwork, tell: Tell) -> None:
    """Write the INT8 file in parts, packed, and its reader."""
    tell("packing the INT8 file")
    tensors, _ = once(int8.parts(model.file))
    _write_packed(folder, packed.dump(tensors), tensors)


def _write_packed(folder: Path, data: bytes, tensors: dict[str, Tensor]) -> None:
    _check_unpacked(data, tensors)
    (folder / PACKED).write_bytes(data)
    shutil.copyfile(unpack.__file__, folder / READER)


def _check_unpacked(data: bytes, tensors: dict[str, Tensor]) -> None:
    """Raises SecateurError unless the reader gives `tensors` back, bit for bit."""
    again = unpack.unpack(data)
    different = [
        name
        for name, tensor in tensors.items()
        if again[name][1].tobytes() != to_array(bits(tensor)).tobytes()
    ]
    if different:
        raise SecateurError(
            "The packed file does not give the weights back",
            f"Different: {', '.join(different[:5])}.",
            "Nothing was written. This is a bug of secateur's: please report the preset.",
        )


def _onnx(
    model: nn.Module, shape: tuple[int, int, int], file: Path, tell: Tell, templates: Path | None
) -> int:
    """Write the file; the channels at once that its convolutions are packed for."""
    tell("exporting to ONNX")
    alike = folder_for(templates, model) if templates is not None else None
    try:
        onnx.export(model, shape, file, templates=alike, any_width=True)
    except SecateurError as error:
        raise SecateurError(error.title, error.detail, "Export it as safetensors or pt2.") from error
    return narrow.packed_for(load_model(file))


def _openvino(
    folder: Path, model: nn.Module, shape: tuple[int, int, int], tell: Tell, templates: Path | None
) -> tuple[Tolerance, int]:
    """Write the two files; how far they may be off, and the channels at once that they are packed for."""
    from engine.compute.export import ir

    passing, lanes = folder / ONNX, 0
    if isinstance(model, QuantizedNetwork):
        passing.write_bytes(model.file)
    else:
        lanes = _onnx(model, shape, passing, tell, templates)
    tell("writing it for OpenVINO")
    ir.write(passing, folder / IR[0])
    passing.unlink()
    return OTHER_RUNTIME_INT8 if isinstance(model, QuantizedNetwork) else Tolerance(onnx.TOLERANCE), lanes


def _quantized(model: nn.Module) -> QuantizedNetwork:
    assert isinstance(model, QuantizedNetwork), (
        "engine.results.exports orders this format for INT8 models only"
    )
    return model
