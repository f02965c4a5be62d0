"""What kind of file brought weights are in, told by its bytes and never by its name; nothing in it is run."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from engine.errors import SecateurError

Kind = Literal["safetensors", "zip", "pickle"]
"""What can be read: safetensors, and torch.save's two formats (a zip file since torch 1.6, pickles before)."""

SAVE = "Save its weights as a state_dict: torch.save(model.state_dict(), 'weights.pth')."
HEAD = 4096
"""Bytes that are looked at: every format here is told by its first few hundred."""
LONGEST_HEADER = 100_000_000
"""Bytes of a safetensors header, at most, as its own reader has it."""
RATIO, ALWAYS = 16, 256 << 20
"""What a file holds may take so many times the file's own bytes, or so many bytes: weights hardly compress, and tensors
that repeat one value are small."""

_Signature = tuple[Callable[[bytes], bool], str, str]


def _begins(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(starts)


def _page(head: bytes) -> bool:
    return head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head"))


REFUSED: tuple[_Signature, ...] = (
    (lambda head: not head, "is empty", "Copy or download it again."),
    (
        _begins(b"version https://git-lfs"),
        "is a pointer of Git LFS, not the file that it stands for",
        "Run `git lfs pull` where it was cloned.",
    ),
    (
        _page,
        "is a web page, as a failed download leaves one",
        "Download the file itself; a browser shows its real address.",
    ),
    (_begins(b"\x89HDF"), "is an HDF5 file, as Keras writes them (.h5)", f"Convert it to PyTorch. {SAVE}"),
    (
        lambda head: head[4:8] == b"TFL3",
        "is a TensorFlow Lite model",
        f"Start from its PyTorch model. {SAVE}",
    ),
    (
        _begins(b"\x93NUMPY"),
        "is a NumPy array (.npy)",
        "Make a state_dict of it: torch.save({name: torch.from_numpy(array)}, 'weights.pth').",
    ),
    (_begins(b"\x1f\x8b"), "is compressed with gzip", "Unpack it first: gunzip, or tar xzf for an archive."),
)
"""Files that are taken for weights by mistake: how their bytes begin, what they are, what to do."""


def kind(path: Path) -> Kind:
    """Which of the readable formats `path` has.

    Raises SecateurError, in one sentence, for a missing, empty or truncated file and for any other format.
    """
    if not path.is_file():
        raise SecateurError(
            f"No weights at {path}", "model.weights names a file that does not exist.", "Correct the path."
        )
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise refused(path, f"can't be opened: {error.strerror}", "Check its permissions.") from error
    for matches, what, remedy in REFUSED:
        if matches(head):
            raise refused(path, what, remedy)
    return _readable(path, head)


def _readable(path: Path, head: bytes) -> Kind:
    if head.startswith(b"PK\x03\x04"):
        return _zip(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LONGEST_HEADER:
        return "safetensors"
    if head[:1] == b"\x80":
        return "pickle"
    if _is_onnx(path, head):
        raise refused(
            path, "is an ONNX graph; PyTorch weights are needed", f"Start from its PyTorch model. {SAVE}"
        )
    if head.lstrip()[:1] == b"{":
        raise refused(path, *_text(path, head))
    if head[257:262] == b"ustar":
        raise refused(path, "is a tar archive", "Unpack it and name the file of weights in it.")
    raise refused(path, "has no format that is known here", f"PyTorch or safetensors is needed. {SAVE}")


def _is_onnx(path: Path, head: bytes) -> bool:
    """Protocol buffers have no signature: field 1 (a small version), then the producer's name or the graph."""
    return path.suffix.lower() == ".onnx" or (head[:1] == b"\x08" and head[2:3] in (b"\x12", b":"))


def _text(path: Path, head: bytes) -> tuple[str, str]:
    """Of a JSON file, which is told from safetensors by what is behind its first byte: what it is, and what to do."""
    if b'"weight_map"' not in head:
        return "is a JSON file, which holds no weights", "Name the file of weights that it belongs to."
    if ".safetensors" in path.name:
        merge = (
            "from glob import glob; from safetensors.torch import load_file, save_file; "
            "save_file({k: v for f in glob('*-of-*.safetensors') for k, v in load_file(f).items()}, 'all.safetensors')"
        )
    else:
        merge = (
            "from glob import glob; import torch; "
            "torch.save({k: v for f in glob('*-of-*.bin') for k, v in torch.load(f).items()}, 'all.pth')"
        )
    return (
        "is the index of weights that are kept in several files",
        f"Put them together, in their folder: {merge}.",
    )


def _zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            unpacked = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
        raise refused(
            path, "is cut short: it begins as torch.save writes, but its end is missing", "Copy it again."
        ) from error
    check_unpacked(path, unpacked)
    inside = {name.partition("/")[2] for name in names}
    if any(name.startswith("code/") for name in inside) or "constants.pkl" in inside:
        raise _program(path, "TorchScript", f"torch.jit.load('{path.name}').state_dict()")
    if "archive_format" in inside or "serialized_exported_program.json" in names:
        raise _program(path, "torch.export", f"torch.export.load('{path.name}').state_dict")
    if "data.pkl" in inside:
        return "zip"
    raise refused(path, *_other_zip(names))


def _program(path: Path, what: str, state: str) -> SecateurError:
    return refused(
        path,
        f"is a program of {what}, which holds code; only weights are read",
        f"Take the weights out of it: torch.save({state}, 'weights.pth').",
    )


def _other_zip(names: list[str]) -> tuple[str, str]:
    if names and all(name.endswith(".npy") for name in names):
        take = "torch.save({k: torch.from_numpy(v) for k, v in numpy.load('weights.npz').items()}, 'weights.pth')"
        return "holds NumPy arrays (.npz)", f"Make a state_dict of them: {take}."
    if "model.weights.h5" in names:
        return "is a Keras model", f"Convert it to PyTorch. {SAVE}"
    return "is a zip archive of other files", "Unpack it and name the file of weights in it."


def check_unpacked(path: Path, unpacked: int) -> None:
    """Raises SecateurError where what the file holds would take `unpacked` bytes, far more than it is large."""
    size = path.stat().st_size
    if unpacked > max(ALWAYS, RATIO * size):
        raise refused(
            path,
            f"has {size} bytes, and what it holds would take {unpacked}",
            "No weights are like that: get it from where you trust it. If they are, save them as safetensors.",
        )


def refused(path: Path, what: str, remedy: str) -> SecateurError:
    return SecateurError(f"Weights {path} can't be read", f"{path.name} {what}.", remedy)
