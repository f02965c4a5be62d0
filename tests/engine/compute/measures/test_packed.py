"""Packed files: bit-equal for every dtype, size near what zeros and shared values leave, damage noticed."""

import hashlib
import time
import zlib

import pytest
import torch
from torch import Tensor

from engine.compute.measures import packed, unpack
from engine.errors import SecateurError
from tests.engine.compute.measures.packed_help import entropy, unpacked

DTYPES = [getattr(torch, name) for name in unpack.DTYPES]


def bits(tensor: Tensor) -> Tensor:
    flat = tensor.contiguous().reshape(-1)
    return flat.view(torch.uint8) if flat.numel() else flat


def assert_bit_equal(tensors: dict[str, Tensor]) -> bytes:
    data = packed.dump(tensors)
    again = unpacked(data)
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


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("density", [0.0, 0.002, 0.1, 0.6, 0.9, 1.0])
def test_every_dtype_loads_back_bit_equal(dtype, density):
    generator = torch.Generator().manual_seed(1)
    size = torch.empty(0, dtype=dtype).element_size()
    raw = torch.randint(1, 256, (3000, size), dtype=torch.uint8, generator=generator)
    raw[torch.rand(3000, generator=generator) >= density] = 0
    if dtype == torch.bool:
        raw = (raw > 0).to(torch.uint8)
    assert_bit_equal({"x": raw.reshape(-1).view(dtype).reshape(30, 100)})


@pytest.mark.parametrize("density", [0.0, 0.05, 1.0])
def test_float32_numbers_that_are_numbers_of_float16_take_two_bytes(density):
    precise = sparse(4000, density).reshape(40, 100)
    weights = precise.half().float()
    narrow, wide = (len(assert_bit_equal({"w": tensor})) for tensor in (weights, precise))
    one_more = weights.clone()
    one_more[3, 5] = 1 + 2**-20
    assert_bit_equal({"w": one_more})
    stored = round(4000 * density)
    assert wide - narrow >= 1.5 * stored
    assert narrow < 2 * stored + 4000 / 8 + 150


def test_halves_are_subnormal_negative_zero_or_infinite_and_come_back():
    numbers = [6e-8, -0.0, 0.0, float("inf"), -65504.0, 2**-14]
    data = assert_bit_equal({"x": torch.tensor(numbers).half().float(), "n": torch.tensor([float("nan")])})
    assert data[8] == unpack.VERSION


def test_files_of_version_1_are_read():
    """Written by version 1: a float32 tensor of 2 × 8 with three values, as docs/design/packed-format.md tells it."""
    header = zlib.compress(b'[["w","float32",[2,8],2,3,1,[3,3,3,3]]]', 9)
    planes = bytes([0, 0, 0, 0, 0, 0, 0x80, 0, 0x80, 0x3F, 0x3F, 0x3F])
    body = unpack.PREFIX.pack(unpack.MAGIC, 1, len(header)) + header + bytes([0xA8, 0xC4]) + planes
    dtype, array = unpack.unpack(body + hashlib.sha256(body).digest())["w"]
    expected = torch.zeros(2, 8)
    expected[0, 3], expected[1, 0], expected[1, 7] = 1.0, 0.5, 1.0
    assert dtype == "float32" and torch.equal(torch.from_numpy(array), expected)


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
    assert unpacked(packed.dump({})) == {}


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
        with pytest.raises(ValueError, match="packed file"):
            unpacked(bytes(broken))
    for length in (0, 1, 10, len(data) // 2, len(data) - 1):
        with pytest.raises(ValueError, match="packed file"):
            unpacked(data[:length])
    with pytest.raises(ValueError, match="packed file"):
        unpacked(data + b"\0")


def test_another_version_is_refused_as_such():
    data = bytearray(packed.dump({"x": torch.ones(3)}))
    data[8] = 9
    with pytest.raises(ValueError, match="of version 9; this reads versions 1 to 2"):
        unpacked(bytes(data))


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
        '["x","uint8",[4],-1,4,0,[2],0,1,[2],1,2]',  # an index outside its table
        '["x","uint8",[4],-1,4,0,[2],0,1,[2,-1],1,2]',
        '["x","uint8",[4],-1,4,0,[0],0,1,[],1,2]',
        '["x","uint8",[4],-1,4,0,[2],0,3,[2],1,2]',
        '["x","uint8",[4],-1,4,0,[2],0,-1,[2],1,2]',
        '["x","uint8",[4],-1,4,0,[2],0,1,[2],1,9]',
        '["x","uint8",[4],-2,4,4,[4],400]',
        '["x","uint8",[0],-2,4,0,[4],0]',
        '["x","float32",["4"],-1,4,0,[4,4,4,4]]',
        "{",
        '{"form":{"bits":4}}',
        '{"form":{"bits":4,"group":null},"parts":['  # codes without rows
        '["x","uint8",[],-1,1,0,[1]],["","float32",[1],-1,1,0,[1,1,1,1]],["","uint8",[1],-1,1,0,[1]]]}',
        '{"form":{"bits":4,"group":-1},"parts":['
        '["x","uint8",[2,2],-1,4,0,[4]],["","float32",[1],-1,1,0,[1,1,1,1]],["","uint8",[1],-1,1,0,[1]]]}',
    ],
)
def test_a_forged_header_with_a_right_checksum_is_an_error_not_a_crash(entry):
    header = zlib.compress(f"[{entry}]".encode())
    body = unpack.PREFIX.pack(unpack.MAGIC, unpack.VERSION, len(header)) + header + b"\xff" * 16
    with pytest.raises(ValueError, match="damaged"):
        unpacked(body + hashlib.sha256(body).digest())


def test_what_is_not_a_plain_tensor_is_refused():
    with pytest.raises(SecateurError, match="cannot be packed"):
        packed.dump({"x": torch.eye(3).to_sparse()})
    with pytest.raises(SecateurError, match="cannot be packed"):
        packed.dump({"x": torch.empty(3, device="meta")})
    with pytest.raises(SecateurError, match="elements of the type bits16"):
        packed.dump({"x": torch.zeros(3, dtype=torch.int16).view(torch.bits16)})


def shared(shape: tuple[int, ...], centroids: int, density: float = 1.0, seed: int = 0) -> Tensor:
    """Normal weights, each the nearest of `centroids` even values; a share of them zero, at random places."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.linspace(-2.5, 2.5, centroids) + 0.01
    weights = torch.randn(shape, generator=generator)
    weights = table[torch.bucketize(weights, (table[1:] + table[:-1]) / 2)]
    return torch.where(torch.rand(shape, generator=generator) < density, weights, 0.0)


@pytest.mark.parametrize("centroids", [2, 3, 16, 32, 200, 256])
def test_shared_values_cost_their_entropy_and_a_table(centroids):
    weights = shared((400, 250), centroids)
    size = len(assert_bit_equal({"x": weights}))
    least = max(entropy(weights), 100_000 / 8)
    assert least <= size < 1.02 * least + 4 * centroids + 150


@pytest.mark.parametrize("density", [0.3, 0.1, 0.03])
def test_sparse_shared_values_cost_the_entropy_of_places_and_values(density):
    weights = shared((500, 1000), 32, density)
    size = len(assert_bit_equal({"x": weights}))
    least = entropy(weights != 0) + entropy(weights[weights != 0])
    assert least <= size < 1.03 * least + 4 * 32 + 300
    assert size < 0.4 * len(packed.dump({"x": sparse(500_000, density)}))


@pytest.mark.parametrize("density", [1.0, 0.2])
def test_a_table_for_each_row_is_found(density):
    generator = torch.Generator().manual_seed(2)
    tables = torch.randn(64, 16, generator=generator)
    weights = tables.gather(1, torch.randint(0, 16, (64, 4000), generator=generator)).view(64, 40, 10, 10)
    weights = torch.where(torch.rand(weights.shape, generator=generator) < density, weights, 0.0)
    places = entropy(weights != 0)
    size = len(assert_bit_equal({"x": weights}))
    assert size < 1.03 * (places + density * weights.numel() / 2) + 64 * 16 * 4 + 500


@pytest.mark.parametrize("width", [2, 3, 8])
def test_shared_vectors_cost_a_byte_each(width):
    generator = torch.Generator().manual_seed(4)
    table = torch.randn(250, width, generator=generator)
    weights = table[torch.randint(0, 250, (24_000,), generator=generator)].view(240, -1)
    assert len(assert_bit_equal({"x": weights})) < 24_000 + table.nbytes + 300


def test_clustered_zeros_cost_less_than_random_ones():
    """Huffman coded runs adapt to the pattern: whole filters that are zero are nearly free."""
    weights = shared((1000, 100), 32)
    weights[torch.randperm(1000, generator=torch.Generator().manual_seed(1))[:900]] = 0
    scattered = shared((1000, 100), 32, 0.1)
    assert len(packed.dump({"x": weights})) < 0.75 * len(packed.dump({"x": scattered}))


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int8], ids=str
)
def test_codebooks_of_every_width_of_element_load_back_bit_equal(dtype):
    for density in (1.0, 0.1):
        weights = shared((100, 60), 8, density)
        packed_ = assert_bit_equal({"x": (weights * 4).to(dtype)})
        assert len(packed_) < 0.6 * 6000
    assert_bit_equal({"x": torch.tensor([-0.0, 1.0, 0.0, -0.0] * 500, dtype=torch.float64)})


def test_a_million_shared_weights_pack_within_seconds():
    """A bound far above what it takes (0.1 s), that a loop over elements would miss by far."""
    weights = shared((1000, 1000), 32, 0.1)
    start = time.process_time()
    unpacked(packed.dump({"x": weights}))
    assert time.process_time() - start < 5
