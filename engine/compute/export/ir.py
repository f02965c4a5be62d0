"""OpenVINO's own files (`.xml` and `.bin`) from an ONNX file, float or INT8."""

import shutil
from pathlib import Path

import openvino

from engine.errors import SecateurError, said_by
from engine.machine import private


def write(onnx: Path, file: Path) -> None:
    """Write the network in the file `onnx` as `file`, an `.xml`, with its `.bin` beside it.

    Its weights stay as they are: float32 is not made float16. Raises SecateurError for operators that OpenVINO
    does not have.
    """
    try:
        # Not `openvino.convert_model`: that reports to its makers, over a network that a compute node lacks.
        model = openvino.Core().read_model(onnx)
    except RuntimeError as error:
        raise SecateurError(
            "OpenVINO can't read the network",
            " ".join(said_by(error)[-3:])[:500],
            "Export it as onnx, or as int8-onnx if it is an INT8 model.",
        ) from error
    with private.scratch() as made:  # OpenVINO does not tell a full disk from other failures
        try:
            openvino.save_model(model, made / file.name, compress_to_fp16=False)
        except RuntimeError as error:
            raise SecateurError(
                "OpenVINO can't write its files",
                f"In the temporary folder {made}: {said_by(error)[-1]}",
                "Look whether it has room, or set TMPDIR to another folder.",
            ) from error
        for one in Path(made).iterdir():
            shutil.copyfile(one, file.with_name(one.name))
