"""Sparse-packed files: bit-equal for every dtype, size near linear in the non-zeros, damage noticed."""

import hashlib
import struct
import zlib

import pytest
import torch
from torch import Tensor

from engine.compute.measure import packed
from engine.errors import SecateurError

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128]
FLOAT8 = [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu]
INTEGERS = [
    torch.int8,
    torch.uint8,
    torch.int16,
    torch.uint16,
    torch.int32,
    torch.uint32,
    torch.int64,
    torch.uint64,
]


def bits(tensor: Tensor) -> Tensor:
    flat = tensor.contiguous().reshape(-1)
    return flat.view(torch.uint8) if flat.numel() else flat


def assert_bit_equal(tensors: dict[str, Tensor]) -> bytes:
    data = packed.dump(tensors)
    again = packed.load(data)
    assert list(again) == list(tensors)
    for name, tensor in tensors.items():
        assert again[name].dtype == tensor.dtype and again[name].shape == tensor.shape
        assert torch.equal(bits(again[name]), bits(tensor)), name
    return data


def sparse(count: int, density: float, seed: int = 0) -> Tensor:
    """`count` weights, of which exactly the share `density` is not zero, at random places."""
    generator = torch.Generator().manual_seed(seed)
    kept = torch.randperm(count, generator=generator)[: round(count * density)]
    weights = torch.zeros(count)
    weights[kept] = torch.randn(len(kept), generator=generator) * 0.02
    return weights


@pytest.mark.parametrize("dtype", [torch.bool, *INTEGERS, *FLOATS, *FLOAT8], ids=str)
@pytest.mark.parametrize("density", [0.0, 0.002, 0.1, 0.6, 0.9, 1.0])
def test_every_dtype_loads_back_bit_equal(dtype, density):
    generator = torch.Generator().manual_seed(1)
    size = torch.empty(0, dtype=dtype).element_size()
    raw = torch.randint(1, 256, (3000, size), dtype=torch.uint8, generator=generator)
    raw[torch.rand(3000, generator=generator) >= density] = 0
    if dtype == torch.bool:
        raw = (raw > 0).to(torch.uint8)
    assert_bit_equal({"x": raw.reshape(-1).view(dtype).reshape(30, 100)})


def test_negative_zeros_and_the_payloads_of_nans_survive():
    patterns = torch.tensor([0, -(2**31), 0x7FC00001, 0x7F800001, -1, 1, 0, 0], dtype=torch.int32)
    assert_bit_equal(
        {"x": patterns.view(torch.float32), "y": torch.tensor([-0.0, 0.0], dtype=torch.bfloat16)}
    )


def test_odd_shapes_and_layouts_survive():
    strided = torch.randn(6, 8).t()[::2]
    channels_last = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    assert_bit_equal(
        {
            "empty": torch.empty(0, 3),
            "scalar": torch.tensor(7),
            "zero": torch.tensor(0.0),
            "strided": strided,
            "channels_last": channels_last,
            "a name. with/odd »characters«": torch.ones(1),
        }
    )
    assert packed.load(packed.dump({})) == {}


@pytest.mark.parametrize("last", [0, 1, 100_000, 1_999_999])
def test_a_single_value_far_out_survives(last):
    weights = torch.zeros(2_000_000)
    weights[last] = 1.0
    assert len(assert_bit_equal({"x": weights})) < 200


def test_size_is_near_linear_in_the_nonzeros():
    """From 50 % to 99 % sparsity a non-zero costs 3.4 to 4.4 bytes: half as many, about half the file."""
    costs = []
    for density in (0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01):
        nonzeros = round(1_000_000 * density)
        costs.append(len(packed.dump({"x": sparse(1_000_000, density)})) / nonzeros)
    assert all(3.4 < cost < 4.4 for cost in costs), costs
    assert costs == sorted(costs), costs


def test_positions_cost_within_5_percent_of_what_any_code_needs():
    """Random positions need n·H(p) bits (Shannon, 1948)."""
    for density in (0.3, 0.1, 0.01):
        weights = (sparse(1_000_000, density) != 0).to(torch.uint8)
        p = torch.tensor([density, 1 - density], dtype=torch.float64)
        entropy = float(-(p * p.log2()).sum()) * 1_000_000 / 8
        values = 1_000_000 * density / 8  # all values are 1: one bit each after Huffman coding
        assert len(packed.dump({"x": weights})) < 1.05 * entropy + values + 300


def test_dense_weights_never_grow_and_trained_ones_shrink():
    noise = torch.randint(-(2**31), 2**31 - 1, (100_000,), dtype=torch.int32)
    assert len(packed.dump({"x": noise})) < noise.nbytes + 200
    weights = sparse(100_000, 1.0)
    assert len(packed.dump({"x": weights})) < 0.88 * weights.nbytes


def test_equal_tensors_give_equal_bytes():
    assert packed.dump({"x": sparse(5000, 0.2)}) == packed.dump({"x": sparse(5000, 0.2)})


def test_any_changed_or_missing_byte_is_noticed():
    data = packed.dump({"x": sparse(300, 0.3), "y": torch.arange(5)})
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 0x10
        with pytest.raises(SecateurError):
            packed.load(bytes(broken))
    for length in (0, 1, 10, len(data) // 2, len(data) - 1):
        with pytest.raises(SecateurError):
            packed.load(data[:length])
    with pytest.raises(SecateurError):
        packed.load(data + b"\0")


def test_a_newer_version_is_refused_as_such():
    data = bytearray(packed.dump({"x": torch.ones(3)}))
    data[8] = 9
    with pytest.raises(SecateurError, match="newer version"):
        packed.load(bytes(data))


@pytest.mark.parametrize(
    "entry",
    [
        '["x","float32",[4],-1,3,0,[3,3,3,3]]',  # fewer elements than the shape
        '["x","float32",[4],-1,-4,0,[3,3,3,3]]',
        '["x","load",[4],-1,4,0,[4,4,4,4]]',
        '["x","float32",[4],0,4,0,[4,4,4,4]]',  # no positions
        '["x","float32",[4],-1,4,0,[9,9,9,9]]',
        '["x","float32",[-4],-1,4,0,[4,4,4,4]]',
        '["x","float32"]',
        '["x","float32",["4"],-1,4,0,[4,4,4,4]]',
        "{",
    ],
)
def test_a_forged_header_with_a_right_checksum_is_an_error_not_a_crash(entry):
    header = zlib.compress(f"[{entry}]".encode())
    body = struct.pack("<8sHI", packed.MAGIC, packed.VERSION, len(header)) + header + bytes(16)
    with pytest.raises(SecateurError, match="damaged"):
        packed.load(body + hashlib.sha256(body).digest())


def test_what_is_not_a_plain_tensor_is_refused():
    with pytest.raises(SecateurError, match="cannot be packed"):
        packed.dump({"x": torch.eye(3).to_sparse()})
    with pytest.raises(SecateurError, match="cannot be packed"):
        packed.dump({"x": torch.empty(3, device="meta")})
