"""Every way by which a file could have code run that the preset does not name; none of them may."""

import importlib.util
import json
import py_compile
from pathlib import Path

import pytest

from engine.compute.models import checkpoint
from engine.compute.models.architecture import Architecture, architecture
from engine.compute.models.build import build
from engine.compute.pretrained.bring import bring
from engine.compute.usercode import load_function
from engine.errors import SecateurError
from engine.params.preset import Model

OFFERED = Architecture("resnet20", 1, 10, (8, 8), {"width": 2})
NET = """
from torch import nn
def build(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
"""
NAMES = (
    "evil.py:build",
    "evil.pyc:build",
    "evil.so:build",
    "evil.PY:build",
    "evil.py:evil.pyc:build",
    "evil.py.pyc:build",
    "evil:build",
    "evil.py",
    "link.py:build",
    "./evil.py:build",
    "../{here}/evil.py:build",
    "{folder}/evil.py:build",
    "{folder}/evil.pyc:build",
    "torchvision/../{folder}/evil.py:build",
    "torchvision/{folder}/evil.pyc:build",
    "yolo/{folder}/evil.py:build",
    "resnet/{folder}/evil.py:build",
    "os:system",
    "torch.hub:load",
    "",
)
"""What a `model.json` may say that its network is built by, in a folder with all these files."""


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint beside files of code in every form, each of which leaves `ran` behind when it is run."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    evil = folder / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n" + NET)
    for name in ("evil.pyc", "evil.so", "evil.py.pyc", "evil"):
        py_compile.compile(str(evil), cfile=str(folder / name))
    (folder / "evil.PY").write_text(evil.read_text())
    (folder / "link.py").symlink_to(evil)
    (tmp_path / "mine.py").write_text(NET)
    checkpoint.save(build(OFFERED).eval(), folder)
    monkeypatch.chdir(folder)
    return folder


def say(folder: Path, name: str) -> str:
    """Have the checkpoint say that its network is built by `name`, which is given back with the real folder in it."""
    name = name.format(folder=folder, here=folder.name)
    recipe = json.loads((folder / checkpoint.RECIPE).read_text())
    recipe["architecture"]["name"] = name
    (folder / checkpoint.RECIPE).write_text(json.dumps(recipe))
    return name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("asked", ["auto", "resnet20", "mine.py:build"])
def test_a_folder_of_weights_adds_no_code_to_what_the_preset_names(
    hostile: Path, name: str, asked: str
) -> None:
    say(hostile, name)
    preset = asked.replace("mine.py", str(hostile.parent / "mine.py"))
    # The preset's own function builds a checkpoint of own code, wherever that was; its weights do not fit here.
    with pytest.raises((SecateurError, RuntimeError)):
        bring(Model(name=preset, weights=str(hostile)), OFFERED)
    assert not (hostile.parent / "ran").exists()


@pytest.mark.parametrize("name", NAMES)
def test_an_object_of_the_store_adds_none_either(hostile: Path, name: str) -> None:
    say(hostile, name)
    for named in ([], ["auto"], ["resnet20"], [f"{hostile.parent}/mine.py:build"]):
        with pytest.raises(SecateurError, match="code that the preset does not name"):
            checkpoint.load(hostile, named)
        with pytest.raises(SecateurError, match="code that the preset does not name"):
            checkpoint.architecture_in(hostile, named)
    assert not (hostile.parent / "ran").exists()


@pytest.mark.parametrize(
    "name", [name for name in NAMES if not name.endswith(("evil.py:build", "link.py:build"))]
)
def test_what_is_no_source_is_not_loaded_even_where_it_is_named(hostile: Path, name: str) -> None:
    with pytest.raises(SecateurError, match=r"can be loaded|No file"):
        load_function(name.format(folder=hostile, here=hostile.name), "model")
    assert not (hostile.parent / "ran").exists()


def test_a_function_that_the_preset_names_is_the_same_whichever_way_its_path_is_written(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine.py").write_text(NET)
    model = build(Architecture(f"{tmp_path}/mine.py:build", 1, 10, (8, 8))).eval()
    checkpoint.save(model, tmp_path)
    again = checkpoint.load(tmp_path, [f"{tmp_path}/x/../mine.py:build"])
    assert architecture(again).name == f"{tmp_path}/mine.py:build"
    with pytest.raises(SecateurError, match="does not name"):
        checkpoint.load(tmp_path, [f"{tmp_path}/mine.py:other"])


def test_a_compiled_file_beside_the_source_is_not_run_for_it(tmp_path: Path) -> None:
    """`__pycache__` may be another's: a file there that says to be of this source is taken for it by Python itself."""
    mine, evil = tmp_path / "mine.py", tmp_path / "evil.py"
    mine.write_text(NET)
    payload = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
    evil.write_text(payload)
    planted = Path(importlib.util.cache_from_source(str(mine)))
    planted.parent.mkdir()
    py_compile.compile(
        str(evil), cfile=str(planted), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    assert callable(load_function(f"{mine}:build", "model"))
    assert not (tmp_path / "ran").exists()


def test_an_edit_of_a_checkpoint_sets_sizes_and_nothing_else(tmp_path: Path) -> None:
    checkpoint.save(build(OFFERED).eval(), tmp_path)
    recipe = json.loads((tmp_path / checkpoint.RECIPE).read_text())
    for attributes in ({"forward": 1}, {"padding_mode": "x"}, {"_modules": 1}, {"stride": [True]}):
        recipe["edits"] = [{"edit": "resize", "layer": "conv1", "attributes": attributes}]
        (tmp_path / checkpoint.RECIPE).write_text(json.dumps(recipe))
        with pytest.raises(SecateurError, match="no size"):
            checkpoint.load(tmp_path)
