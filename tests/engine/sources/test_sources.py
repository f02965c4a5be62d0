"""Which files a user's file runs, told without running it; what a study keeps of them."""

import json
import os
import sys
import tempfile
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path

import pytest

from engine.errors import SecateurError, UsageError
from engine.sources import Sources, collect, read
from engine.sources.kept import texts_in
from tests import HOME

PATH = list(sys.path)
"""Where modules were looked for when no test had run yet."""


@pytest.fixture(autouse=True)
def _fresh_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules are found as in a process that has just begun, whatever tests before these left in this one."""
    monkeypatch.setattr(sys, "meta_path", [BuiltinImporter, FrozenImporter, PathFinder])
    monkeypatch.setattr(
        sys, "path", [folder for folder in PATH if Path(folder).is_absolute() and not _scratch(folder)]
    )
    monkeypatch.setattr(sys, "path_importer_cache", {})


def _scratch(folder: str) -> bool:
    """Whether it is a temporary folder; a checkout or an environment may lie among those as well."""
    parents = Path(folder).parents
    return Path(tempfile.gettempdir()) in parents and HOME not in parents and Path(sys.prefix) not in parents


def write(folder: Path, **files: str) -> Path:
    """Files by name; the first one is returned."""
    paths = [folder / f"{name}.py" for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return paths[0]


def modules(file: Path, cwd: Path | None = None) -> set[str]:
    found = collect([f"{file}:build"], cwd or file.parent).programs[str(file)]
    return {Path(name).name for name in found.modules}


@pytest.mark.parametrize(
    "text",
    [
        "import blocks",
        "from blocks import Block",
        "def build():\n    from blocks import Block",
        "try:\n    import blocks\nexcept ImportError:\n    pass",
        "from . import blocks",
        "from .blocks import *",
        "import importlib\nimportlib.import_module('blocks')",
        "from importlib import import_module\nblocks = import_module('.blocks', __package__)",
        "__import__('blocks')",
        "class A:\n    @property\n    def b(self):\n        import blocks",
        "name = 'blo' + 'cks'\nimport importlib\nimportlib.import_module(name)",
        "import helper_of_blocks",
    ],
)
def test_what_is_imported_is_found(tmp_path: Path, text: str) -> None:
    file = write(tmp_path, net=text, blocks="W = 1", helper_of_blocks="import blocks")
    assert "blocks.py" in modules(file)


@pytest.mark.parametrize(
    "text",
    [
        "import json",
        "if __name__ == '__main__':\n    import blocks",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import blocks",
        "import torch",
    ],
)
def test_what_is_not_run_is_left_out(tmp_path: Path, text: str) -> None:
    assert modules(write(tmp_path, net=text, blocks="W = 1")) == {"net.py"}


def test_packages_and_what_they_import(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        net="import models.wide.deep as d",
        top="",
        unused="",
        **{
            "models/__init__": "from . import common",
            "models/common": "",
            "models/wide/deep": "from ..common import x\nfrom .. import other",
            "models/other": "import top",
        },
    )
    assert modules(file) == {"net.py", "__init__.py", "common.py", "deep.py", "other.py", "top.py"}


def test_of_what_is_installed_only_the_package_that_is_named_is_the_users_own(tmp_path: Path) -> None:
    """Beside it lie torch and this program: their thousands of files are no part of a network's code."""
    files = {"mine/parts/net": "from ..common import W\nimport other", "mine/common": "W = 1", "other": ""}
    packages = {"mine/__init__": "", "mine/parts/__init__": ""}
    assert modules(write(tmp_path / "site-packages", **files, **packages)) == {
        "__init__.py",
        "net.py",
        "common.py",
    }
    helper = Path(__file__).parents[1] / "compute" / "steps" / "channels" / "channels_help.py"
    assert modules(helper) == {"channels_help.py"}


@pytest.mark.parametrize(
    "text",
    [
        "sys.path.insert(0, 'lib')",
        "sys.path.append(os.path.join(os.path.dirname(__file__), 'lib'))",
        "sys.path.append(os.path.dirname(os.path.abspath(__file__)) + '/lib')\nsys.path += ['lib']",
        "HERE = Path(__file__).resolve().parent\nsys.path.insert(0, str(HERE / 'lib'))",
        "sys.path.extend([str(Path(__file__).parents[1] / 'project' / 'lib')])",
    ],
)
def test_folders_added_to_the_path_are_searched(tmp_path: Path, text: str) -> None:
    code = f"import sys, os\nfrom pathlib import Path\n{text}\nimport far"
    assert "far.py" in modules(write(tmp_path / "project", net=code, **{"lib/far": ""}))


def test_the_folder_of_the_shell_comes_last(tmp_path: Path) -> None:
    files = {"models/net": "import utils, models.more", "models/more": "", "utils": ""}
    file = write(tmp_path, **files)
    assert modules(file, cwd=tmp_path) == {"net.py", "more.py", "utils.py"}


def test_what_a_package_put_on_the_path_for_itself_does_not_hide_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = tmp_path / "site-packages" / "package" / "scripts"
    write(scripts, **{"__init__": "", "models/other": ""})
    monkeypatch.syspath_prepend(scripts)
    own = tmp_path / "own"
    file = write(own, **{"models/net": "import models.more", "models/more": ""})
    assert modules(file, cwd=own) == {"net.py", "more.py"}


def test_a_folder_on_the_path_is_looked_at_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab is open for days, while files come and go."""
    monkeypatch.syspath_prepend(tmp_path / "shared")
    file = write(tmp_path / "own", net="import common")
    assert modules(file) == {"net.py"}
    write(tmp_path / "shared", common="W = 1")
    assert modules(file) == {"net.py", "common.py"}


def test_files_that_a_network_reads_count_and_what_it_imports_from_packages(tmp_path: Path) -> None:
    (tmp_path / "widths.json").write_text("[8]")
    file = write(tmp_path, net="import pydantic, json\nW = json.load(open('widths.json'))")
    first = collect([f"{file}:build"], tmp_path).material(f"{file}:build")
    assert str(tmp_path / "widths.json") in first["model_files"]
    assert list(first["model_packages"]) == ["pydantic"]
    (tmp_path / "widths.json").write_text("[9, 9]")
    assert collect([f"{file}:build"], tmp_path).material(f"{file}:build") != first


@pytest.mark.parametrize(
    "path",
    [
        "'cfg/w.json'",
        "Path(__file__).parent / 'cfg' / 'w.json'",
        "os.path.join(os.path.dirname(os.path.abspath(__file__)), 'cfg', 'w.json')",
        "os.path.dirname(__file__) + '/cfg/w.json'",
        "HERE / NAME",
        "f'{HERE}/cfg/{FILE}'",
        "HERE.joinpath('cfg', FILE)",
        "(HERE / 'cfg' / 'w').with_suffix('.json')",
        "os.path.expanduser('~/code/cfg/w.json')",
        "Path.home() / 'code/cfg/w.json'",
    ],
)
def test_a_path_put_together_from_parts_names_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    code = f"""\
import os
from pathlib import Path
def build():
    x = y = 1
    x = x / x  # names that are given themselves end
    return open({path}).read()
HERE, ONE = Path(__file__).parent, 1
HERE = Path(__file__).parent
NAME = 'cfg/w.json'
FILE = 'w.json'
"""
    file = write(tmp_path / "code", net=code)
    widths = write(tmp_path / "code" / "cfg", w="").with_suffix(".json")
    widths.write_text("[8]")
    found = collect([f"{file}:build"], tmp_path / "code")
    assert str(widths) in found.material(f"{file}:build")["model_files"]


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("open('net.log', 'a').write('x')", False),
        ("open('net.log', mode='w')", False),
        ("Path('net.log').write_text('x')", False),
        ("(Path('.') / 'net.log').open('a')", False),
        ("logging.basicConfig(filename='net.log')", False),
        ("torch.save(1, 'net.log')", False),
        ("LOG = Path(__file__).parent / 'net.log'\nlogging.FileHandler(LOG)", False),
        ("LOG: str = 'net.log'\nopen(LOG, 'a')\nopen(LOG)", True),
        ("open('net.log', 'w')\nopen('net.log')", True),
        ("open('net.log', 'r+')", True),
        ("torch.save(torch.load('net.log'), 'w.pth')", True),
        ("W = open('net.log').read()\ntorch.save(W, 'w.pth')", True),
        ("open('net.log', 'a+')", True),
        ("open('net.log', MODE)", True),
        ("READS = ['net.log']\nopen('net.log', 'a')", True),
    ],
)
def test_a_file_that_is_only_written_decides_nothing(tmp_path: Path, text: str, reads: bool) -> None:
    (tmp_path / "net.log").write_text("as an earlier study left it")
    file = write(tmp_path, net=f"from pathlib import Path\n{text}\n")
    assert (str(tmp_path / "net.log") in collect([f"{file}:build"], tmp_path).files) == reads


def test_what_the_system_says_of_the_machine_at_the_moment_decides_nothing(tmp_path: Path) -> None:
    file = write(tmp_path, net="open('/proc/meminfo'), open('/proc/cpuinfo'), open('/dev/null')")
    assert list(collect([f"{file}:build"], tmp_path).files) == [str(file)]


def test_files_that_arguments_name_count_for_those_who_get_them(tmp_path: Path) -> None:
    file = write(tmp_path, net="def build(path):\n    return open(path).read()")
    for name in ("small", "large"):
        (tmp_path / f"{name}.yaml").write_text(name)
    given = ({"path": "small.yaml"}, {"path": ["deep", {"in": "large.yaml"}]}, {"path": "no file"})

    def materials() -> list[object]:
        found = collect([f"{file}:build"], tmp_path, [text for one in given for text in texts_in(one)])
        assert Sources.from_dict(json.loads(found.to_json())) == found
        return [found.material(f"{file}:build", one) for one in given]

    before = materials()
    (tmp_path / "large.yaml").write_text("larger")
    assert [old == new for old, new in zip(before, materials(), strict=True)] == [True, False, True]


@pytest.mark.parametrize(
    "asked",
    [
        "os.environ['ACT']",
        "os.environ.get('ACT', 'relu')",
        "os.getenv('ACT')",
        "environ.setdefault(NAME, 'relu')",
        "1 if 'ACT' in os.environ else 2",
    ],
)
def test_environment_variables_that_code_asks_for_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    code = f"import os\nfrom os import environ\nNAME = 'ACT'\ndef build():\n    return {asked}, os.environ['HOME']"
    file = write(tmp_path, net=code)
    found = []
    for value in (None, "relu", "gelu"):
        monkeypatch.delenv("ACT", raising=False)
        if value is not None:
            monkeypatch.setenv("ACT", value)
        found.append(collect([f"{file}:build"], tmp_path))
    assert [one.variables for one in found] == [{"ACT": None}, {"ACT": "relu"}, {"ACT": "gelu"}]
    materials = [one.material(f"{file}:build") for one in found]
    assert "model_variables" not in materials[0] and materials[1] != materials[2]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("SLURM_JOB_ID", False),
        ("SLURM_ARRAY_TASK_ID", False),
        ("OMPI_COMM_WORLD_RANK", False),
        ("LOCAL_RANK", False),
        ("JOB_ID", False),
        ("COBALT_JOBID", False),
        ("TASK_ID", True),
        ("WANDB_RUN_ID", False),
        ("TORCH_HOME", False),
        ("HF_TOKEN", False),
        ("wandb_api_key", False),
        ("AWS_ACCESS_KEY_ID", False),
        ("DB_PASSWORD", False),
        ("CLS_TOKEN", True),
        ("LCNET_WIDTH", True),
        ("WIDTH", True),
    ],
)
def test_of_variables_those_count_that_say_what_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, counts: bool
) -> None:
    monkeypatch.setenv(name, "its value")
    file = write(tmp_path, net=f"import os\nX = os.environ.get('{name}')")
    found = collect([f"{file}:build"], tmp_path)
    assert found.variables == ({name: "its value"} if counts else {})
    assert ("its value" in found.to_json()) == counts


def test_a_variable_that_is_no_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIDTH", os.fsdecode(b"\xff"))
    file = write(tmp_path, net="import os\nX = os.environ['WIDTH']")
    with pytest.raises(UsageError, match="WIDTH is no text"):
        collect([f"{file}:build"], tmp_path)


def test_sources_are_kept_and_tell_what_changed(tmp_path: Path) -> None:
    file = write(tmp_path, net="import blocks", blocks="W = 1")
    (tmp_path / "old.py").write_bytes(
        "# -*- coding: latin-1 -*-\nname = 'é'\nimport blocks".encode("latin-1")
    )
    found = collect([f"{file}:a", f"{file}:b", f"{tmp_path}/old.py:c"], tmp_path)
    (tmp_path / "code.json").write_text(found.to_json())
    again = read(tmp_path / "code.json")
    assert again == found and again.changed() == []
    assert again.files[str(tmp_path / "old.py")].content == (tmp_path / "old.py").read_bytes()
    (tmp_path / "blocks.py").write_text("W = 2")
    assert again.changed() == [str(tmp_path / "blocks.py")]
    (tmp_path / "code.json").write_text(json.dumps({"cwd": "/"}))
    with pytest.raises(SecateurError, match="can't be read"):
        read(tmp_path / "code.json")


def test_a_file_that_is_missing_or_no_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No file"):
        collect([f"{tmp_path}/net.py:build"], tmp_path)
    file = write(tmp_path, net="import os\ndef build(:\n")
    with pytest.raises(UsageError) as caught:
        collect([f"{file}:build"], tmp_path)
    assert f"{file}, line 2" in caught.value.detail


def test_without_own_code_there_is_nothing() -> None:
    assert collect([], Path("/")) == Sources("/")
