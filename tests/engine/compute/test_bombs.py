"""Files that are small and hold, or claim to hold, more than memory does: refused early and by name."""

import gzip
import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.compute.data import load
from engine.compute.data.idx import read_idx
from engine.compute.data.opening import MOST_PIXELS, array_in, open_array, open_image
from engine.compute.memory import peak_bytes, reset_peak
from engine.compute.models import checkpoint
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.pretrained.bring import bring
from engine.compute.pretrained.weight_files import read
from engine.datasets import locate
from engine.errors import SecateurError
from engine.params.preset import Data, Model
from engine.store.files import read_json
from engine.studies.log import Tail
from engine.studies.rundir import RunDir

GENEROUS = 200 << 20
"""Bytes: what a bomb may take at most."""


def saved(value: object, **options: bool) -> bytes:
    held = io.BytesIO()
    torch.save(value, held, **options)  # type: ignore[arg-type]
    return held.getvalue()


def deflated(megabytes: int) -> bytes:
    """A state_dict of zeros, its parts compressed, as torch.save never does."""
    plain = zipfile.ZipFile(io.BytesIO(saved({"w": torch.zeros(8)})))
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name in plain.namelist():
            content = plain.read(name)
            with packed.open(name, "w") as part:
                if not name.endswith("/data/0"):
                    part.write(content)
                    continue
                for _ in range(megabytes // 16):
                    part.write(bytes(16 << 20))
    return held.getvalue()


def lying(opcode: bytes, count: int) -> bytes:
    """A pickle that says that `count` bytes follow, and names a class first so that it is looked into."""
    return b"\x80\x04cbuiltins\nprint\n0" + opcode + struct.pack("<Q", count) + b"few."


def expanded(*shape: int) -> bytes:
    return saved({"w": torch.zeros(1).expand(*shape)})


def sparse(size: int) -> bytes:
    return saved(
        {"w": torch.sparse_coo_tensor(torch.zeros(2, 1, dtype=torch.int64), torch.ones(1), (size, size))}
    )


WEIGHTS: dict[str, Callable[[], bytes]] = {
    "compressed parts": lambda: deflated(320),
    "bytes that do not follow": lambda: lying(pickle.BINBYTES8, 1 << 40),
    "a text that does not follow": lambda: lying(pickle.BINUNICODE8, 1 << 40),
    "an array that does not follow": lambda: lying(pickle.BYTEARRAY8, 1 << 36),
    "a number that does not follow": lambda: b"\x80\x04\x8b" + struct.pack("<i", 2**31 - 1) + b"1.",
    "a tensor that repeats one value": lambda: expanded(1 << 35),
    "the same in an old file": lambda: saved(
        {"w": torch.zeros(1).expand(1 << 35)}, _use_new_zipfile_serialization=False
    ),
    "a sparse tensor": lambda: sparse(1 << 20),
    "a header that does not follow": lambda: (90_000_000).to_bytes(8, "little") + b'{"a":',
    "no values": lambda: saved({"w": torch.zeros(4, device="meta")}),
}


def watched(what: Callable[[], object], said: str) -> None:
    """`what()` is refused with `said` in its message, and takes little memory."""
    reset_peak()
    before = peak_bytes(torch.device("cpu"))
    with pytest.raises((SecateurError, ValueError, OSError, Image.DecompressionBombError), match=said):
        what()
    assert peak_bytes(torch.device("cpu")) - before < GENEROUS


@pytest.mark.parametrize("form", WEIGHTS)
def test_weights_that_unpack_to_more_than_they_may(tmp_path: Path, form: str) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(WEIGHTS[form]())
    assert path.stat().st_size < 8 << 20
    watched(lambda: read(path, Model(name="resnet20", weights=str(path))), "can't be read")


def test_weights_that_do_repeat_values_are_read(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": torch.zeros(1).expand(1000, 1000), "b": torch.eye(300).to_sparse()}, path)
    found = read(path, Model(name="resnet20", weights=str(path))).state
    assert found["a"].shape == (1000, 1000) and torch.equal(found["b"], torch.eye(300))


def test_keys_that_would_be_endless_are_not_written_out(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    key: tuple[object, ...] = ("x",)
    for _ in range(10):
        key = (key,) * 4  # 4¹⁰ letters when written out, a few hundred bytes in the file
    torch.save({key: 1}, path)
    with pytest.raises(SecateurError, match="hold no state_dict") as caught:
        read(path, Model(name="resnet20", weights=str(path)))
    assert len(str(caught.value)) < 1000


def png(width: int, height: int) -> bytes:
    """A grey PNG of one colour: a thousandth of its pixels' bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def image_folder(root: Path, content: bytes, name: str = "bomb.png") -> Data:
    for split in ("train", "test"):
        for label in ("a", "b"):
            folder = root / split / label
            folder.mkdir(parents=True)
            Image.new("L", (8, 8)).save(folder / "0.png")
    (root / "train" / "a" / name).write_bytes(content)
    return Data(name="imagefolder", root=str(root), size=8)


def test_images_of_too_many_pixels_are_refused_by_name(tmp_path: Path) -> None:
    params = image_folder(tmp_path, png(13_000, 13_000))

    def read_all() -> None:
        found = load(params, locate(params, tmp_path))
        for split in (found.train, found.validation, found.test):
            split.images.gather(torch.arange(len(split)))

    watched(read_all, "bomb.png")
    (tmp_path / "large.png").write_bytes(png(12_000, 8_000))
    with open_image(str(tmp_path / "large.png")) as image:
        assert image.width * image.height < MOST_PIXELS


def test_what_pillow_would_run_another_program_for_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    )
    with Image.open(tmp_path / "page.png") as postscript:
        assert postscript.format == "EPS"
    with pytest.raises(OSError, match="cannot identify"):
        open_image(str(tmp_path / "page.png"))


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(ValueError, match="no ordinary file"):
        open_image(str(tmp_path / "pipe.png"))
    with pytest.raises(ValueError, match="no ordinary file"):
        open_array(str(tmp_path / "pipe.npy"))
    run = RunDir(tmp_path / "study")
    run.path.mkdir()
    for file in (run.status, run.events):
        os.mkfifo(file)
    assert run.read_status().state == "unreadable"
    assert Tail(run.events).read() == ([], False)


def test_arrays_that_claim_more_than_they_hold(tmp_path: Path) -> None:
    def header(shape: str) -> bytes:
        text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()

    (tmp_path / "a.npy").write_bytes(header("(1099511627776,)"))
    watched(lambda: open_array(str(tmp_path / "a.npy")), "said to hold 1099511627776 values")
    watched(lambda: array_in((tmp_path / "a.npy").read_bytes()), "said to hold 1099511627776 values")
    np.save(tmp_path / "b.npy", np.arange(6))
    assert open_array(str(tmp_path / "b.npy")).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("shape", [(4, 1 << 30), (1 << 31,) * 4])
def test_idx_files_are_unpacked_no_further_than_they_may(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "images.gz"
    head = b"\0\0\x08" + bytes([len(shape)]) + b"".join(struct.pack(">I", size) for size in shape)
    with gzip.open(path, "wb", 1) as file:
        file.write(head + bytes(1 << 20))
    watched(lambda: read_idx(path), "images.gz can't be read")


def test_idx_files_hold_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    head = b"\0\0\x08\x01" + struct.pack(">I", 16)
    for content in (bytes(15), bytes(64 << 20)):
        with gzip.open(path, "wb", 1) as file:
            file.write(head)
            file.write(content)
        watched(lambda: read_idx(path), "16 expected")
    path.write_bytes(gzip.compress(head + bytes(range(16))))
    assert read_idx(path).tolist() == list(range(16))


def test_json_of_others_is_read_within_bounds(tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    file.write_text("[" * 200_000)
    assert read_json(file) is None
    with file.open("wb") as sparse_file:
        sparse_file.truncate(40 << 30)
    assert read_json(file) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arguments": {"width": 10**8}}, "would take"),
        ({"classes": 10**12}, "would take"),
        ({"edits": [{"edit": "factorize", "layer": "fc", "scheme": "svd", "ranks": [10**12]}]}, "wide"),
        ({"edits": [{"edit": "share", "layer": "conv1", "filters": 10**12, "scaled": False}]}, "wide"),
    ],
)
def test_a_checkpoint_builds_no_network_that_no_memory_holds(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    offered = Architecture("resnet20", 1, 10, (8, 8), {"width": 2})
    checkpoint.save(build(offered).eval(), tmp_path)
    recipe = json.loads((tmp_path / checkpoint.RECIPE).read_text())
    own = {name: value for name, value in change.items() if name != "edits"}
    recipe |= {"architecture": recipe["architecture"] | own, "edits": change.get("edits", [])}
    (tmp_path / checkpoint.RECIPE).write_text(json.dumps(recipe))
    watched(lambda: bring(Model(weights=str(tmp_path)), offered), said)
