"""Files that are written whole or not at all, and what is said where they can't be."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from engine.compute.numerics.aligned import write_tensors
from engine.errors import UsageError
from engine.store.files import unwritable, write_named


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """No file grows beyond `size` bytes: writing fails in the middle, as on a disk that fills up."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_file_of_the_users_is_written_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "mine.svg"
    write_named(file, "before")
    with at_most(1000), pytest.raises(UsageError, match="can't be written"):
        write_named(file, b"x" * 2000)
    assert file.read_text() == "before" and [*tmp_path.iterdir()] == [file]


def test_what_a_link_of_the_users_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_named(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == "new"


def test_what_is_no_file_is_written_to() -> None:
    words = (
        "from pathlib import Path; from engine.store.files import *; write_named(Path('/dev/stdout'), 'text')"
    )
    assert subprocess.check_output([sys.executable, "-c", words], text=True) == "text"


@pytest.mark.parametrize("name", ["none/file", "folder"])
def test_a_place_that_can_not_be_written_is_named_as_the_user_did(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError) as refused:
        write_named(tmp_path / name, "text")
    assert refused.value.title == f"{tmp_path / name} can't be written"
    assert "SECATEUR_HOME" not in str(refused.value)


def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    error = unwritable(tmp_path / "model", 28)
    assert "The disk is full" in error.detail and error.remedy.startswith("Free some space")


def test_tensors_fail_to_be_written_as_any_file_does(tmp_path: Path) -> None:
    with at_most(1000), pytest.raises(OSError, match=os.strerror(27)) as failed:
        write_tensors({"weight": torch.ones(1000)}, tmp_path / "model.safetensors")
    assert failed.value.filename == str(tmp_path / "model.safetensors")
