"""The reader of packed files reads every way that they are written in, where only NumPy is installed."""

import hashlib
import json
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.compute.layers.grids import Grid, GridForm
from engine.compute.measures import packed, unpack

READ = """
import hashlib, json, sys
sys.modules.update(dict.fromkeys(["torch", "engine", "safetensors"]))  # none of these can be imported
sys.path.insert(0, sys.argv[1])
from unpack import unpack
found = {}
for name, (dtype, array) in unpack(open(sys.argv[2], "rb").read()).items():
    found[name] = [dtype, str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
print(json.dumps(found))
"""


def read_alone(file: Path) -> Any:
    """Of each tensor torch's type, NumPy's, the shape and the hash of its bits, as a process without torch reads it."""
    shutil.copy(unpack.__file__, file.parent / "unpack.py")
    command = [sys.executable, "-I", "-c", READ, str(file.parent), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def thinned(values: Tensor, density: float) -> Tensor:
    """`values` with a share of them at random places, zeros at the others."""
    return torch.where(torch.rand(values.shape, generator=generator()) < density, values, 0)


def values_of(table: Tensor, *shape: int) -> Tensor:
    """Entries of `table` at random, most often the first."""
    weights = torch.arange(len(table), 0, -1, dtype=torch.float64).pow(3)
    return table[torch.multinomial(weights, shape[0] * shape[1], True, generator=generator())].view(shape)


def every_kind() -> tuple[dict[str, Tensor], dict[str, Grid]]:
    """Tensors that a file holds in every way there is, and the grids of some."""
    noise = torch.randn(200, 300, generator=generator())
    rows = torch.randn(200, 16, generator=generator())
    choice = torch.randint(0, 16, (200, 300), generator=generator())
    vectors = torch.randn(100, 4, generator=generator())
    even = torch.randint(0, 8, (200, 300), generator=generator()).float() + 1
    whole = torch.where(torch.arange(200)[:, None] % 20 == 5, noise, 0)
    tensors = {
        "dense": noise,
        "half": noise.half(),
        "brain": noise.bfloat16(),
        "counts": (noise * 1000).long(),
        "flags": noise > 0,
        "eight": noise.to(torch.float8_e4m3fn),
        "complex": torch.complex(noise, -noise),
        "bitmap": thinned(noise, 0.5),
        "rice": thinned(noise, 0.01),
        "runs": whole,
        "codebook": values_of(torch.randn(16, generator=generator()), 200, 300),
        "even codebook": even,
        "sparse codebook": thinned(even, 0.1).bfloat16(),
        "codebook of each row": rows.gather(1, choice),
        "sparse codebook of each row": thinned(rows.gather(1, choice), 0.3),
        "vectors": vectors[torch.randint(0, 100, (15_000,), generator=generator())].view(200, 300),
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(7),
        "zero": torch.tensor(-0.0),
        "nothing": torch.zeros(1000),
        "a name with/odd »characters«": torch.ones(1),
    }
    grids = {}
    for form in (GridForm(4), GridForm(3, symmetric=False, group=7), GridForm(8, group=512)):
        groups = form.groups((200, 3, 10, 10))
        steps = torch.rand(groups[0] * groups[1], generator=generator()) + 0.1
        below = form.levels // 2
        low = torch.full((len(steps),), below, dtype=torch.uint8)
        points = torch.randint(-below, form.levels - below + 1, (200, 3, 10, 10), generator=generator())
        grid = Grid(form, steps, low)
        grids[f"grid of {form.bits} bits"] = grid
        tensors[f"grid of {form.bits} bits"] = grid.weight(points.remainder(2**form.bits).to(torch.uint8))
    return tensors, grids


def test_every_kind_is_read_where_there_is_no_torch_bit_for_bit(tmp_path: Path) -> None:
    tensors, grids = every_kind()
    (tmp_path / "model.packed").write_bytes(packed.dump(tensors, grids))
    found = read_alone(tmp_path / "model.packed")
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        dtype = str(tensor.dtype).removeprefix("torch.")
        by_numpy = {"bfloat16": "uint16", "float8_e4m3fn": "uint8"}.get(dtype, dtype)
        assert found[name] == [dtype, by_numpy, list(tensor.shape), hashlib.sha256(raw).hexdigest()], name


def test_the_kinds_are_what_their_names_say() -> None:
    """What the test above relies on: no way of storing is left out."""
    data = packed.dump(*every_kind())
    length = unpack.PREFIX.unpack_from(data)[2]
    items = json.loads(zlib.decompress(data[unpack.PREFIX.size :][:length]))
    on_grid = {item["parts"][0][0] for item in items if isinstance(item, dict)}
    assert on_grid == {"grid of 3 bits", "grid of 4 bits", "grid of 8 bits"}
    entries = {item[0]: unpack.Entry(*item) for item in items if isinstance(item, list)}
    assert entries["dense"].rice == unpack.DENSE and not entries["dense"].width
    assert entries["bitmap"].rice == 0
    assert entries["rice"].rice > 0
    assert entries["runs"].rice == unpack.RUNS
    assert entries["codebook"].width == 1 and entries["codebook"].bits == 0
    assert entries["even codebook"].bits == 3
    assert entries["sparse codebook"].width == 1 and entries["sparse codebook"].rice != unpack.DENSE
    assert len(entries["codebook of each row"].tables) == 200
    assert len(entries["sparse codebook of each row"].tables) == 200
    assert entries["sparse codebook of each row"].rice != unpack.DENSE
    assert entries["vectors"].width == 4


def test_a_grid_of_a_type_that_numpy_lacks_is_not_used() -> None:
    """Its reader could not multiply the codes with the steps."""
    steps, low = torch.rand(200, generator=generator()) + 0.1, torch.full((200,), 127, dtype=torch.uint8)
    codes = torch.randint(0, 128, (200, 300), generator=generator(), dtype=torch.uint8)
    for dtype in (torch.float32, torch.bfloat16):
        grid = Grid(GridForm(8), steps.to(dtype), low)
        tensors = {"x": grid.weight(codes)}
        used = packed.dump(tensors, {"x": grid}) != packed.dump(tensors)
        assert used == (dtype == torch.float32)


@pytest.mark.parametrize("change", ["cut", "changed", "longer"])
def test_a_damaged_file_is_refused(change: str) -> None:
    data = packed.dump(*every_kind())
    half = len(data) // 2
    broken = {
        "cut": data[:-100],
        "changed": data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :],
        "longer": data + b"\0",
    }[change]
    with pytest.raises(ValueError, match="the packed file is damaged: its checksum is wrong"):
        unpack.unpack(broken)
