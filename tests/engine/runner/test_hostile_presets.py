"""Presets that can't run start nothing: one message, exit code 2, no study, whatever is wrong with them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import SecateurError, UsageError
from engine.presets import spec
from engine.runner import launch
from engine.studies import plan
from engine.studies.rundir import RunDir, studies

PRESET = """\
about: A small legal preset
seed: 0
threads: 1
device: cpu
model: {name: resnet20, weights: random, arguments: {width: 4}}
data: {name: digits, root: null, limit: 100}
steps:
  - train: {epochs: 1, batch: 32}
  - prune.weights: {sparsity: 0.5, skip: [fc]}
  - distill: {teacher: {kind: model, name: resnet20, train: {epochs: 1}}, method: {kind: features, layers: [stem]}}
sweep:
  prune.weights.sparsity: [0.5, 0.9]
measure: {size: true, latency: {runtimes: [torch], batch: [1]}}
plot: {x: sparsity, y: accuracy}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of traps, which is the current one."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.pth")
    Path("loop.pth").symlink_to("loop.pth")
    Path("empty").mkdir()
    Path("split").mkdir()
    Path("split/model.safetensors.index.json").write_text("{}")
    Path("broken.py").write_text("def build(:\n")
    Path("net.pyc").write_bytes(b"\0")
    Path("images/a").mkdir(parents=True)
    return tmp_path


def create(here: Path, *changes: str, text: str = PRESET) -> RunDir:
    return launch.create(spec.parse(text, "p", changes, folder=here), here / "w")


def refused(here: Path, *changes: str) -> str:
    with pytest.raises(SecateurError) as error:
        create(here, *changes)
    assert error.value.exit_code == UsageError.exit_code
    assert not studies(here / "w")
    assert len(str(error.value)) < 1000
    return str(error.value)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("missing.pth", "No such file"),
        ("https://example.org/w.pth", "fetch the file"),
        ("/etc", "It is a folder without"),
        ("empty/", "It is a folder without"),
        ("split/", "weights in several files, which model.safetensors.index.json lists"),
        ("/dev/zero", "It is a device"),
        ("pipe.pth", "FIFO"),
        ("loop.pth", "Too many levels of symbolic links"),
        ('"w\\0.pth"', "No file can have this name"),
        ("./" + "w" * 5000, "File name too long"),
        ("~nobody-here/w.pth", "No such file"),
        ("w.onnx", "an ONNX graph"),
    ],
)
def test_weights_that_can_t_be_read(here: Path, weights: str, said: str) -> None:
    assert said in refused(here, f"model.weights={weights}")
    if not weights.startswith(("https", "w.onnx")):
        teacher = f"{{kind: model, name: resnet20, weights: {weights}}}"
        assert said in refused(here, f"distill.teacher={teacher}"), "a teacher's, too"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("model.name=nowhere.py:build", "nowhere.py"),
        ("model.name=broken.py:build", "line 1"),
        ("model.name=net.pyc:build", "net.pyc"),
        ("model.name=/dev/stdin:build", "/dev/stdin"),
        ("data.name=nowhere.py:load", "nowhere.py"),
        ("data.name=broken.py:load", "line 1"),
    ],
)
def test_code_that_can_t_be_run(here: Path, change: str, said: str) -> None:
    assert said in refused(here, change)


@pytest.mark.parametrize("name", ["mnist", "cifar10", "imagefolder", "yolo", "imagenet"])
@pytest.mark.parametrize(
    "root", ["/", "~nobody-here/x", '"a\\0b"', "loop.pth", "missing", "pipe.pth", "x" * 5000]
)
def test_data_that_are_not_there(here: Path, name: str, root: str) -> None:
    if (name, root) != ("imagefolder", "/"):  # a folder of folders, of which only looking into them says more
        refused(
            here, f"data.name={name}", f"data.root={root}", *["model.name=yolo/yolov8n"] * (name == "yolo")
        )


NASTY: list[Any] = [
    *("", " ", "..", "/", "~nobody/x", "a\0b", "loop.pth", "pipe.pth", "x" * 5000, "\x1b[2J", "=1+1", "é\u202e"),
    *(0, -1, 2**63, 10**400, 0.5, float("inf"), float("nan"), True, None),
    *([], {}, [[]], [None], {"a": 1}, {"": ""}, ["fc", 3], {"kind": "model"}),
    *("no.py:x", "pretrained", "torchvision/resnet18"),
]  # fmt: skip
LEGAL: list[Any] = [0, 1, 2, 16, 0.3, 0.95, True, False, None, "random", "auto", ["fc"], [1, 2], [0.1, 0.2]]


def places(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a preset has values, as keys and indices."""
    if at:
        yield at
    for key, value in (
        tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    ):
        yield from places(value, (*at, key))


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """PRESET with one to three values or names changed, taken out, or put elsewhere."""
    tree = yaml.safe_load(PRESET)
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        *way, last = draw(st.sampled_from(list(places(tree)) or [("about",)]))
        parent = tree
        for key in way:
            parent = parent[key]
        kind = draw(st.sampled_from(["value", "legal", "legal", "text", "number", "name", "gone", "moved"]))
        if kind == "gone":
            del parent[last]
        elif kind == "name" and isinstance(parent, dict):
            name = draw(
                st.sampled_from([*NASTY[:12], "weights", "skip", "epochs", "teacher"]) | st.text(max_size=8)
            )
            parent[name] = parent.pop(last)
        elif kind == "moved":
            tree[draw(st.sampled_from(["model", "data", "steps", "sweep", "plot", "x"]))] = parent[last]
        else:
            other = {"text": st.text(max_size=20), "number": st.integers() | st.floats()} | {
                "legal": st.sampled_from(LEGAL)
            }
            parent[last] = draw(other.get(kind, st.sampled_from(NASTY)))
    return yaml.safe_dump(tree, allow_unicode=True)


@settings(max_examples=200)
@given(text=mutants())
def test_any_change_of_a_preset_gives_a_plan_or_one_message(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "mutants"
    folder.mkdir(exist_ok=True)
    if not (folder / "pipe.pth").exists():
        os.mkfifo(folder / "pipe.pth")
        (folder / "loop.pth").symlink_to("loop.pth")
    before = len(studies(folder / "w"))
    try:
        read = spec.parse(text, "p", folder=folder)
        launch.create(read, folder / "w")
        found = plan.make(
            read, {plan.data_id(trial): "x" for trial in read.trials}, launch.choose.machine(read.settings)
        )
        assert len(found.trials) == len(read.trials)
    except SecateurError as error:
        assert error.exit_code == UsageError.exit_code
        assert error.title
        assert len(studies(folder / "w")) == before
