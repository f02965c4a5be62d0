"""Fetching data sets: from a real server on this machine, and when there is none."""

import argparse
import bz2
import functools
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torchvision

from engine.cli.data import add
from engine.errors import SecateurError, UsageError

USPS = "1 " + " ".join(f"{pixel}:0.5" for pixel in range(1, 257)) + "\n"


def secateur(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add(parser.add_subparsers())
    args = parser.parse_args(["data", *arguments])
    code: int = args.run(args)
    return code


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of USPS's two files."""
    folder = tmp_path / "server"
    folder.mkdir()
    for file in ("usps.bz2", "usps.t.bz2"):
        (folder / file).write_bytes(bz2.compress(USPS.encode()))
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def serve_from(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checksum = hashlib.md5(bz2.compress(USPS.encode())).hexdigest()
    files = {"train": "usps.bz2", "test": "usps.t.bz2"}
    urls = {split: [f"{address}/{file}", file, checksum] for split, file in files.items()}
    monkeypatch.setattr(torchvision.datasets.USPS, "split_list", urls)


def test_fetched_set_lies_in_the_workspace_and_is_fetched_once(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    serve_from(server, monkeypatch)
    workspace = str(tmp_path / "ws")
    assert secateur("fetch", "usps", "--workspace", workspace) == 0
    assert "usps is here now" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "ws" / "data" / "usps").iterdir()) == [
        "usps.bz2",
        "usps.t.bz2",
    ]
    assert [path.name for path in (tmp_path / "ws" / "data").iterdir()] == ["usps"]
    assert secateur("fetch", "usps", "--workspace", workspace) == 0
    assert "already here" in capsys.readouterr().out


def test_fetching_to_another_folder_says_how_to_name_it(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    serve_from(server, monkeypatch)
    assert secateur("fetch", "usps", "--root", str(tmp_path / "sets"), "--workspace", str(tmp_path)) == 0
    assert f"root: {tmp_path / 'sets'}" in capsys.readouterr().out
    assert (tmp_path / "sets" / "usps.bz2").is_file()


def test_unreachable_server_is_one_clear_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_from("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(SecateurError, match="usps could not be downloaded") as caught:
        secateur("fetch", "usps", "--workspace", str(tmp_path))
    assert "refused" in caught.value.detail and "\n" not in caught.value.detail
    assert "login node" in caught.value.remedy
    assert list((tmp_path / "data").iterdir()) == []


def test_set_with_terms_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SecateurError, match="imagenet can't be downloaded") as caught:
        secateur("fetch", "imagenet", "--workspace", str(tmp_path))
    assert "terms" in caught.value.detail


@pytest.mark.parametrize("name", ["mnits", "mine.py:load"])
def test_names_that_cant_be_fetched_are_usage_errors(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        secateur("fetch", name, "--workspace", str(tmp_path))


def test_list_shows_where_sets_lie_or_how_to_get_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert secateur("list", "--workspace", str(tmp_path)) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "sklearn" in lines["digits"] and "1 797" in lines["digits"]
    assert f"not here: secateur data fetch cifar10 --workspace {tmp_path} (170 MB)" in lines["cifar10"]


def test_list_as_json_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert secateur("list", "--json", "--workspace", str(tmp_path)) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["datasets"]}
    assert rows["cifar10"]["classes"] == 10 and rows["cifar10"]["images"] == 60_000
    assert rows["cifar10"]["path"] is None and rows["digits"]["path"]
    assert rows["imagenet"]["fetch"] is None
