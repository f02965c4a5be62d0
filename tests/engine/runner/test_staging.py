"""Images are copied to the node's disk once, and read from there."""

import os
from pathlib import Path
from typing import IO

import pytest

from engine.params.preset import Data
from engine.runner import staging
from engine.studies.job import JobRequest


@pytest.fixture
def images(tmp_path: Path) -> Data:
    for name in ("train/a/1.png", "train/b/2.png"):
        file = tmp_path / "images" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(name.encode())
    return Data(name="imagefolder", root=str(tmp_path / "images"))


def test_the_first_task_copies_and_the_next_one_finds_it(images: Data, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    copy, _ = staging.stage(images, tmp_path, disk, "1")
    assert copy is not None
    assert (Path(copy) / "train" / "b" / "2.png").read_bytes() == b"train/b/2.png"
    (Path(images.root or "") / "train" / "a" / "1.png").unlink()
    assert staging.stage(images, tmp_path, disk, "1") == (copy, "")
    assert (Path(copy) / "train" / "a" / "1.png").exists()


def test_a_copy_that_was_interrupted_is_completed(images: Data, tmp_path: Path) -> None:
    copy, _ = staging.stage(images, tmp_path, tmp_path, "1")
    assert copy is not None
    (Path(copy) / staging.WHOLE).unlink()
    (Path(copy) / "train" / "a" / "1.png").write_bytes(b"half")
    assert staging.stage(images, tmp_path, tmp_path, "1") == (copy, "")
    assert (Path(copy) / "train" / "a" / "1.png").read_bytes() == b"train/a/1.png"


@pytest.mark.parametrize(
    ("data", "disk", "reason"),
    [
        (Data(name="digits"), Path("/tmp"), "no one folder to copy"),
        (Data(name="digits"), None, "no folder on the node's disk is named by SLURM_TMPDIR"),
    ],
)
def test_where_nothing_is_copied_the_reason_is_told(data: Data, disk: Path | None, reason: str) -> None:
    copy, why = staging.stage(data, Path("/nowhere"), disk, "1")
    assert copy is None
    assert reason in why


def test_the_node_s_disk_is_the_most_telling_folder_that_is_there(tmp_path: Path) -> None:
    given = {"SLURM_TMPDIR": str(tmp_path / "gone"), "TMPDIR": str(tmp_path)}
    assert staging.node_disk(given) == tmp_path
    assert staging.node_disk({}) is None


def test_a_request_reads_the_copy(images: Data) -> None:
    settings = {"data": images.model_dump(mode="json"), "seed": 0}
    request = JobRequest("w", "s", None, "cpu", 1, 1, "f", settings, {}, [])
    moved = staging.onto(request, {images.model_dump_json(): "/scratch/x"})
    assert moved.settings == settings | {"data": settings["data"] | {"root": "/scratch/x"}}  # type: ignore[operator]
    assert staging.onto(request, {}) == request


def test_a_copy_is_of_one_job_and_of_these_images_and_goes_when_nobody_reads_it(
    images: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[IO[str]] = []
    monkeypatch.setattr(staging, "_in_use", used)
    first, _ = staging.stage(images, tmp_path, tmp_path, "1-old")
    (Path(images.root or "") / "train" / "a" / "1.png").write_bytes(b"changed")
    second, _ = staging.stage(images, tmp_path, tmp_path, "2-new")
    assert first is not None and second is not None
    assert (Path(second) / "train" / "a" / "1.png").read_bytes() == b"changed"
    assert Path(first).exists(), "another job reads it"
    while used:
        used.pop().close()
    third, _ = staging.stage(images, tmp_path, tmp_path, "3-new")
    assert third is not None
    assert [path for path in (Path(first), Path(second), Path(third)) if path.exists()] == [Path(third)]


def test_trouble_with_a_copy_is_a_reason_to_do_without(images: Data, tmp_path: Path) -> None:
    (Path(images.root or "") / "train" / "gone.png").symlink_to("/nowhere")
    copy, why = staging.stage(images, tmp_path, tmp_path, "1")
    assert copy is None
    assert "No such file" in why


def test_a_folder_that_another_has_put_there_is_not_used(images: Data, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / f"secateur-{os.getuid()}").symlink_to(tmp_path)
    copy, _ = staging.stage(images, tmp_path, disk, "1")
    assert copy is not None
    assert not (tmp_path / "images" / staging.WHOLE).exists()
    assert Path(copy).parents[1].parent == disk
    disk.chmod(0o777)
    assert staging.stage(images, tmp_path, disk, "1") == (None, f"others can replace what lies in {disk}")
