"""Data from a function in the user's own file, and what is said when it is wrong."""

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.compute.data import Dataset, load
from engine.datasets import locate
from engine.errors import SecateurError
from engine.params.preset import Data

GOOD = """
import numpy as np

def images(count, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(256, size=(count, 3, 8, 8), dtype=np.uint8), np.arange(count) % 4

def load():
    return {"train": images(80), "test": images(20, 1)}
"""


def read(tmp_path: Path, code: str, **parameters: Any) -> Dataset:
    file = tmp_path / "mine.py"
    file.write_text(code)
    params = Data.model_validate({"name": f"{file}:load", **parameters})
    return load(params, locate(params, tmp_path))


def returning(expression: str) -> str:
    return GOOD + f"\nx, y = images(40)\ndef load():\n    return {expression}\n"


def test_arrays_become_a_data_set(tmp_path: Path) -> None:
    data = read(tmp_path, GOOD)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [72, 8, 20]
    assert (data.channels, data.size, data.class_names) == (3, (8, 8), ("0", "1", "2", "3"))
    assert data.notice == ""


def test_what_is_drawn_to_be_tested_on_is_told(tmp_path: Path) -> None:
    data = read(tmp_path, returning("{'train': images(80)}"))
    counts = f"{len(data.validation)} and {len(data.test)} of the 80 training images are drawn for that"
    assert data.notice == f"no validation and no test images are brought: {counts}"


def test_torch_tensors_floats_and_grey_without_a_channel_axis(tmp_path: Path) -> None:
    code = returning(
        "{'train': (torch.from_numpy(x[:, 0] / 255.0), torch.from_numpy(y)), 'classes': list('abcd')}"
    )
    data = read(tmp_path, "import torch\n" + code)
    whole = read(tmp_path, returning("{'train': (x[:, 0], y), 'classes': list('abcd')}"))
    assert data.channels == 1 and data.class_names == ("a", "b", "c", "d")
    index = torch.arange(len(data.train))
    assert torch.equal(data.train.images.gather(index), whole.train.images.gather(index))


def test_root_is_handed_over(tmp_path: Path) -> None:
    code = GOOD + "\ndef load(root):\n    return {'train': images(int(root))}\n"
    assert len(read(tmp_path, code, root="40").test) == 8


def test_fingerprint_follows_arrays_and_parameters(tmp_path: Path) -> None:
    first = read(tmp_path, GOOD).fingerprint
    assert read(tmp_path, "# a comment\n" + GOOD).fingerprint == first
    assert read(tmp_path, GOOD, test=0.5).fingerprint == first, "it brings its own test split"
    assert read(tmp_path, GOOD, validation=0.5).fingerprint != first
    assert read(tmp_path, GOOD.replace("images(80)", "images(80, 2)")).fingerprint != first
    assert read(tmp_path, GOOD.replace("% 4", "% 5")).fingerprint != first


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("None", "nothing (None)"),
        ("(x, y)", "a tuple"),
        ("{'test': (x, y)}", "'test'"),
        ("{'train': (x, y), 'tset': (x, y)}", "'tset'"),
        ("{'train': x}", "not a pair"),
        ("{'train': (x, y[:-1])}", "40 images and 39 labels"),
        ("{'train': (x[:0], y[:0])}", "0 images"),
        ("{'train': (x.transpose(0, 2, 3, 1), y)}", "transpose(0, 3, 1, 2)"),
        ("{'train': (x.transpose(0, 2, 3, 1)[..., :2], y)}", "transpose(0, 3, 1, 2)"),
        ("{'train': (x > 9, y)}", "torch.bool"),
        ("{'train': (x * np.int64(1 << 20), y)}", "beyond 16777216"),
        ("{'train': (x / 255 + np.nan, y)}", "NaN"),
        ("{'train': (x, y), 'test': (x + 0.5, y)}", "different types"),
        ("{'train': (x, y.astype('float32'))}", "whole numbers"),
        ("{'train': (x, y - 1)}", "-1"),
        ("{'train': (x, y), 'classes': ['a', 'b']}", "2 classes, but a label is 3"),
        ("{'train': (x, y), 'test': (x[:, :, :4], y)}", "different shapes"),
        ("{'train': (['a'], y)}", "train images"),
        ("{'train': (x, np.array(list('abcd'))[y])}", "not numbers"),
        ("{'train': (np.ma.masked_less(x, 9), y)}", "masked"),
        ("{'train': (x, y), 'classes': {'d': 3, 'c': 2, 'b': 1, 'a': 0}}", "a dict, not a list of names"),
        ("{'train': (x, y), 'classes': 4}", "an int, not a list of names"),
        ("{'train': (x, y), 'classes': ['a', 'b', 'a', 'c']}", "names a twice"),
        ("{'train': (torch.tensor(x).to_sparse(), y)}", "a Tensor: it is sparse"),
        ("{'train': (torch.tensor(x, device='meta'), y)}", "a Tensor: it has no values"),
        (
            "{'train': (torch.quantize_per_tensor(torch.ones(40), 0.1, 0, torch.quint8), y)}",
            "quantized",
        ),
        ("{'train': (torch.full(x.shape, 1 << 63, dtype=torch.uint64), y)}", "beyond 2⁶³"),
    ],
)
def test_wrong_form_is_explained(tmp_path: Path, expression: str, said: str) -> None:
    with pytest.raises(SecateurError, match="Your own code gives data of the wrong form") as caught:
        read(tmp_path, "import torch\n" + returning(expression))
    assert said in caught.value.detail
    assert "(N, C, H, W)" in caught.value.remedy


def test_labels_that_can_t_be_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SecateurError, match="are no numbers of classes"):
        read(tmp_path, returning("{'train': (x, y + 10**9 * (y == 3))}"))
    with pytest.raises(SecateurError, match="of one class, 2"):
        read(tmp_path, returning("{'train': (x, 0 * y + 2)}"))


@pytest.mark.parametrize("kind", ["uint16", "uint32", "uint64", ">u2", ">i2", ">f4"])
def test_numbers_of_every_kind_are_the_same_numbers(tmp_path: Path, kind: str) -> None:
    data = read(tmp_path, returning(f"{{'train': (x.astype('{kind}'), y.astype('>u2'))}}"))
    plain = read(tmp_path, returning("{'train': (x.astype('int64'), y)}"))
    index = torch.arange(len(data.train))
    assert torch.equal(data.train.images.gather(index), plain.train.images.gather(index))
    assert torch.equal(data.train.labels, plain.train.labels)


def test_exception_in_the_users_file_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(SecateurError, match="Your own code failed") as caught:
        read(tmp_path, "def load():\n    x = {}\n    return x['nothing']\n")
    assert "KeyError" in caught.value.detail
    assert "mine.py, line 3" in caught.value.detail


def test_missing_function_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecateurError, match="has no function load"):
        read(tmp_path, "x = 1\n")


def test_data_that_differ_in_every_call_are_refused(tmp_path: Path) -> None:
    unseeded = GOOD + "\ndef load():\n    return {'train': images(80, None), 'test': images(20, 1)}\n"
    first = read(tmp_path, unseeded).fingerprint
    params = Data.model_validate({"name": f"{tmp_path}/mine.py:load"})
    with pytest.raises(SecateurError, match="gives other data in every call"):
        load(params, locate(params, tmp_path), fingerprint=first)


def test_the_global_generators_are_seeded(tmp_path: Path) -> None:
    shuffled = GOOD + (
        "\nimport random, torch\ndef load():\n    x, y = images(80)\n    p = np.random.permutation(80)\n"
        "    p = p[torch.randperm(80).numpy()]\n    p = p[random.sample(range(80), 60)]\n"
        "    return {'train': (x[p], y[p])}\n"
    )
    assert read(tmp_path, shuffled).fingerprint == read(tmp_path, shuffled).fingerprint
