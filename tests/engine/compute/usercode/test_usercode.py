"""Users' files as modules: whose files meet, where their paths start, and whose line is blamed."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from engine.compute import usercode
from engine.errors import SecateurError
from engine.sources import collect


@pytest.fixture(autouse=True)
def from_disk() -> Iterator[None]:
    yield
    usercode.use(None)


def file(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def function(path: Path, name: str = "build") -> Callable[..., Any]:
    return usercode.load_function(f"{path}:{name}", "model")


def test_two_users_files_of_one_name_do_not_meet(tmp_path: Path) -> None:
    net = "import blocks\ndef build():\n    import blocks as late\n    return blocks.W, late.W\n"
    files = [file(tmp_path / who / "net.py", net) for who in ("student", "teacher")]
    for number, path in enumerate(files):
        file(path.with_name("blocks.py"), f"W = {number}\n")
    builds = [function(path) for path in files]
    assert [build() for build in builds] == [(0, 0), (1, 1)]
    assert "blocks" not in sys.modules and "net" not in sys.modules


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("def build():\n    from blocks import W\n    return W", "blocks.py"),
        ("from .blocks import W\ndef build():\n    return W", "blocks.py"),
        ("from . import blocks\ndef build():\n    return blocks.W", "blocks.py"),
        ("from pkg import blocks\ndef build():\n    return blocks.W", "pkg/blocks.py"),
        ("import pkg.blocks\ndef build():\n    return pkg.blocks.W", "pkg/blocks.py"),
        ("import pkg.blocks as b\ndef build():\n    return b.W", "pkg/blocks.py"),
        ("from pkg.blocks import *\ndef build():\n    return W", "pkg/blocks.py"),
        ("import importlib\ndef build():\n    return importlib.import_module('blocks').W", "blocks.py"),
        (
            "from importlib import import_module\ndef build():\n    return import_module('pkg.blocks').W",
            "pkg/blocks.py",
        ),
        ("def build():\n    return __import__('blocks').W", "blocks.py"),
        ("import engine\ndef build():\n    return engine.W", "engine.py"),
        ("import sys\nsys.path.insert(0, 'site')\nimport far\ndef build():\n    return far.W", "site/far.py"),
    ],
)
@pytest.mark.parametrize("kept", [False, True])
def test_every_way_to_import_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, there: str, kept: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    net = file(tmp_path / "net.py", text)
    helper = file(tmp_path / there, "W = 5\n")
    if kept:
        usercode.use(collect([f"{net}:build"], tmp_path))
        helper.write_text("W = 6\n")
        net.write_text("gone = 1\n")
    assert function(net)() == 5


def test_a_package_is_imported_as_one(tmp_path: Path) -> None:
    file(tmp_path / "pkg" / "__init__.py", "from .net import build\nSEEN = 1\n")
    file(tmp_path / "pkg" / "blocks.py", "from pkg import SEEN\nfrom . import net\n")
    net = file(
        tmp_path / "pkg" / "net.py",
        "from . import deep\ndef build():\n    from pkg.blocks import SEEN\n    return SEEN, deep.two.W\n",
    )
    file(tmp_path / "pkg" / "deep" / "__init__.py", "from .. import net\nfrom . import two\n")
    file(tmp_path / "pkg" / "deep" / "two.py", "W = 2\n")
    assert function(net)() == (1, 2)


@pytest.mark.parametrize(
    "reading",
    [
        "from importlib.resources import files\nR = (files() / 'w.txt').read_text()",
        "from importlib.resources import files\nR = (files(__package__) / 'w.txt').read_text()",
        "from importlib.resources import files\nR = (files('pkg') / 'w.txt').read_text()",
        "import importlib.resources\nR = (importlib.resources.files('pkg') / 'w.txt').read_text()",
        "from importlib import resources\nimport pkg.sub\nR = (resources.files(pkg) / 'w.txt').read_text()",
        "import pkgutil\nR = pkgutil.get_data('pkg', 'w.txt').decode()",
        "import pkgutil\nfrom . import sub\nR = pkgutil.get_data(__package__, 'w.txt').decode()",
        "from pkg.sub import R",
    ],
)
def test_a_package_reads_what_lies_in_it(tmp_path: Path, reading: str) -> None:
    file(tmp_path / "pkg" / "__init__.py", "")
    beside = "import pkgutil\nR = pkgutil.get_data(__package__, 'w.txt').decode()"
    file(tmp_path / "pkg" / "sub.py", beside)
    file(tmp_path / "pkg" / "w.txt", "8")
    assert function(file(tmp_path / "pkg" / "net.py", f"{reading}\ndef build():\n    return R\n"))() == "8"
    assert "pkg" not in sys.modules


def test_paths_start_where_the_study_was_started_and_it_is_left_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    net = file(
        tmp_path / "net.py", "A = open('x.txt').read()\ndef build():\n    return A + open('x.txt').read()\n"
    )
    file(tmp_path / "x.txt", "x")
    usercode.use(collect([f"{net}:build"], tmp_path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert function(net)() == "xx"
    assert Path.cwd() == elsewhere


def test_a_missing_relative_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    code = "import numpy as np\ndef build():\n    return np.load('data/x.npy')\n"
    net = file(tmp_path / "project" / "net.py", code)
    file(tmp_path / "project" / "data" / "x.npy", "")
    usercode.use(collect([f"{net}:build"], tmp_path))
    with pytest.raises(SecateurError) as caught:
        function(net)()
    assert f"{net}, line 3" in caught.value.detail, "the user's own line, not numpy's"
    assert str(tmp_path) in caught.value.remedy and f"It is in {net.parent}" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("import nothing_like_this\n", 1, "ModuleNotFoundError"),
        ("x = 1\nimport blocks\n", 0, "ZeroDivisionError"),
        ("import argparse\nargparse.ArgumentParser().parse_args(['--x'])\n", 2, "ended the program"),
        ("import broken\n", 0, "SyntaxError"),
        ("def f():\n    return f()\nf()\n", 2, "RecursionError"),
    ],
)
def test_failures_name_the_users_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    file(tmp_path / "blocks.py", "\n\n1 / 0\n")
    file(tmp_path / "broken.py", "\n\nif :\n")
    net = file(tmp_path / "net.py", text)
    with pytest.raises(SecateurError, match="Your own code failed") as caught:
        function(net)
    assert said in caught.value.detail
    where = f"{net}, line {line}" if line else ", line 3"
    assert where in caught.value.detail


def test_what_a_file_sets_for_itself_does_not_stay(tmp_path: Path) -> None:
    before = torch.get_num_threads(), torch.get_default_dtype(), sys.argv
    code = (
        "import torch, sys\ntorch.set_num_threads(3)\ntorch.set_default_dtype(torch.float64)\n"
        "torch.set_grad_enabled(False)\ndef build():\n    torch.use_deterministic_algorithms(False)\n"
        "    return sys.argv\n"
    )
    net = file(tmp_path / "net.py", code)
    assert function(net)() == [str(net)]
    assert (torch.get_num_threads(), torch.get_default_dtype(), sys.argv) == before
    assert torch.is_grad_enabled()


def test_code_that_the_preset_does_not_name_is_not_run(tmp_path: Path) -> None:
    net, other = file(tmp_path / "net.py", "build = int\n"), file(tmp_path / "other.py", "1 / 0\n")
    usercode.use(collect([f"{net}:build"], tmp_path))
    with pytest.raises(SecateurError, match="does not name"):
        function(other)


def test_what_can_not_be_foreseen_is_refused(tmp_path: Path) -> None:
    net = file(tmp_path / "net.py", "def build():\n    exec('import ' + 'blocks')\n")
    file(tmp_path / "blocks.py", "W = 1\n")
    with pytest.raises(SecateurError, match=r"blocks\.py, which can't be seen"):
        function(net)()


def test_a_file_that_the_network_reads_must_stay(tmp_path: Path) -> None:
    net = file(tmp_path / "net.py", "def build():\n    return open('width.txt').read()\n")
    width = file(tmp_path / "width.txt", "8")
    usercode.use(collect([f"{net}:build"], tmp_path))
    assert function(net)() == "8"
    width.write_text("16")
    with pytest.raises(SecateurError, match=r"width\.txt was changed since the study began"):
        function(net)


def test_a_stale_cache_is_never_run(tmp_path: Path) -> None:
    import py_compile

    net = file(tmp_path / "net.py", "from blocks import W\ndef build():\n    return W\n")
    helper = file(tmp_path / "blocks.py", "W = 1\n")
    py_compile.compile(str(helper))
    stat = helper.stat()
    helper.write_text("W = 2\n")
    os.utime(helper, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert function(net)() == 2


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("def build():\n    return open('a.txt').read()", False),
        ("def build(path='a'):\n    return open(path + '.txt').read()", True),
        (
            "import os\nX = [open(name).read() for name in os.listdir() if name.endswith('xt')]\ndef build(): pass",
            True,
        ),
        (
            "import json, torch\ndef build(n='made'):\n    open(n, 'w').close()\n    return open(n).read()",
            False,
        ),
        ("def build(n='.hid'):\n    return open(n + 'den').read()", False),
        ("READS = ['a.txt']\ndef build(path='a'):\n    return open(path + '.txt').read()", False),
    ],
)
def test_what_a_network_reads_without_naming_it_is_refused_where_it_is_tried(
    tmp_path: Path, text: str, refused: bool
) -> None:
    for name in ("a.txt", ".hidden"):
        file(tmp_path / name, "x")
    net = file(tmp_path / "net.py", text)
    usercode.use(collect([f"{net}:build"], tmp_path))

    def tried() -> None:
        with usercode.watched():
            function(net)()

    if refused:
        with pytest.raises(SecateurError, match="does not name") as caught:
            tried()
        assert "a.txt" in caught.value.remedy
    else:
        tried()
    function(net)()


@pytest.mark.parametrize(
    "text",
    [
        "import threading\ndef build(n='a'):\n    t = threading.Thread(target=lambda: open(n + '.txt'))\n"
        "    t.start()\n    t.join()",
        "import sqlite3\ndef build(n='a'):\n    return sqlite3.connect(n + '.txt')",
        "from safetensors.torch import load_file\ndef build(n='a'):\n    return load_file(n + '.txt')",
        "import torch\nclass N(torch.nn.Module):\n    def forward(self, x, n='a'): return open(n + '.txt').read()\n"
        "def build(): return N()(torch.zeros(1))",
    ],
)
def test_however_a_network_reads_what_it_does_not_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_bytes(safetensors.torch.save({"w": torch.zeros(1)}))
    net = file(tmp_path / "net.py", text)
    usercode.use(collect([f"{net}:build"], tmp_path))
    with pytest.raises(SecateurError, match="does not name"), usercode.watched():
        function(net)()


@pytest.mark.parametrize(
    "asks",
    [
        "dict(os.environ)['ACT']",
        "[v for k, v in os.environ.items() if k.startswith('AC')]",
        "os.path.expandvars('$ACT')",
        "os.environ['AC' + chr(84)]",
        "(lambda name: os.environ.get(name, 'relu'))('ACT')",
        "getattr(os, 'getenv')('AC' + chr(84))",
    ],
)
def test_a_variable_that_the_text_does_not_name_is_refused_and_the_remedy_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asks: str
) -> None:
    for name in os.environ:
        monkeypatch.delenv(name) if name not in ("PATH", "HOME") else None
    monkeypatch.setenv("ACT", "gelu")
    text = f"import os\ndef build():\n    return {asks}\n"
    net = file(tmp_path / "demos.py", text)  # which ends as a file of Python's does, and is none

    def tried() -> None:
        usercode.use(collect([f"{net}:build"], tmp_path))
        with usercode.watched():
            function(net)()

    with pytest.raises(SecateurError, match="ACT") as caught:
        tried()
    net.write_text(text + caught.value.remedy.split("`")[1])
    tried()


def test_what_libraries_ask_for_is_not_the_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "7")
    net = file(
        tmp_path / "net.py", "import shutil\ndef build():\n    return shutil.get_terminal_size().lines"
    )
    usercode.use(collect([f"{net}:build"], tmp_path))
    with usercode.watched() as watch:
        assert function(net)() == 7
    assert not watch.notes


def test_folders_that_are_listed_and_programs_that_are_started_are_noted(tmp_path: Path) -> None:
    text = "import os, subprocess\ndef build():\n    os.listdir('.')\n    return subprocess.check_output(['echo', 'x'])"
    net = file(tmp_path / "net.py", text)
    usercode.use(collect([f"{net}:build"], tmp_path))
    with usercode.watched() as watch:
        function(net)()
    folders, programs = watch.notes
    assert str(tmp_path) in folders and "echo" in programs


def test_the_remedy_for_unseen_files_works_from_wherever_the_code_stands(tmp_path: Path) -> None:
    for number in range(5):
        file(tmp_path / "code" / "cfg" / f"{number}.txt", "x")
    text = "import os\ndef build():\n    os.chdir('code/cfg')\n    return [open(n).read() for n in os.listdir()]\n"
    net = file(tmp_path / "code" / "net.py", text)

    def tried() -> list[str]:
        usercode.use(collect([f"{net}:build"], tmp_path))
        with usercode.watched():
            return list(function(net)())

    with pytest.raises(SecateurError, match="does not name") as caught:
        tried()
    net.write_text(text + caught.value.remedy.split("`")[1])
    assert tried() == ["x"] * 5


def test_a_network_that_changes_what_it_reads_is_refused_where_it_is_tried(tmp_path: Path) -> None:
    text = "def build(name='log.txt'):\n    open(name, 'a').write('x')\n    return open(name).read()\n"
    net = file(tmp_path / "net.py", text)
    for exists in (False, True):
        usercode.use(collect([f"{net}:build"], tmp_path))
        assert (tmp_path / "log.txt").exists() == exists
        refused = pytest.raises(SecateurError, match="changes a file that it may read")
        with refused if exists else nullcontext(), usercode.watched():
            assert function(net)() == "x" * (1 + exists)


def test_environment_variables_are_those_that_the_study_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = file(
        tmp_path / "net.py", "import os\ndef build():\n    return os.environ.get('ACT'), os.getenv('MORE')"
    )
    monkeypatch.setenv("ACT", "gelu")
    monkeypatch.delenv("MORE", raising=False)
    sources = collect([f"{net}:build"], tmp_path)
    monkeypatch.setenv("ACT", "relu")
    monkeypatch.setenv("MORE", "1")
    usercode.use(sources)
    assert function(net)() == ("gelu", None)
