"""Code of users: what they import, print, read and draw at random."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.cases.base import DATA, Case, Said, Write, last, learned, network, preset, secateur
from benchmarks.cases.networks import BUILD, NET, TRAIN

SCALED = "d = {s: ((x / 255 if s == 'train' else x * 1.5).astype('f4'), y) for s, (x, y) in d.items()}"
BLOCKS = "from torch import nn\nW = 8\ndef block(channels): return nn.Conv2d(channels, W, 3, padding=1)\n"
USES = "    def more(self):\n        {}\n        self.one = block(1)\n"
LOUD = (
    "import atexit, os, sys, threading\natexit.register(lambda: print('bye'))\nprint('welcome')\n"
    "sys.stdout.write('loading...')\nos.write(1, b'from C')\n"
    "threading.Thread(target=lambda: print('a thread')).start()\n"
)
NOISE = """
import numpy as np
def load():
    x = np.random.default_rng(0).integers(0, 256, (200, 1, 16, 16), dtype=np.uint8)
    y, p = np.arange(200) % 4, np.random.default_rng().permutation(200)
    return {"train": (x[p[:150]], y[p[:150]]), "test": (x[p[150:]], y[p[150:]])}
"""


def _leak(folder: Path) -> str:
    (folder / "noise.py").write_text(NOISE)
    return preset("{name: resnet20, arguments: {width: 2}}", TRAIN, "{name: noise.py:load}")


def _refused_leak(said: Said) -> str:
    words = "other data in every call" in said.messages or "not those" in said.messages
    return (
        ""
        if said.refused and words
        else f"accuracies {said.accuracies} on data that differ from call to call"
    )


def _edited(folder: Path) -> str:
    (folder / "blocks.py").write_text(BLOCKS)
    return network(
        f"from blocks import block\n{NET}\nclass Mine(Net):\n{USES.format('pass')}\n{BUILD}", TRAIN
    )(folder)


def _new_numbers(said: Said) -> str:
    if wrong := learned(said):
        return wrong
    (said.folder / "blocks.py").write_text(
        BLOCKS.replace("def block(channels): return", "def block(channels): return nn.Dropout(0.5) and")
    )
    again = secateur(said.folder, "run", "--json", "p.yaml")
    return (
        "the network's helper was edited and all was reused" if "reused" in again.messages else learned(again)
    )


def _importing(mark: str, statement: str, where: str = "blocks.py") -> Case:
    def write(folder: Path) -> str:
        (folder / where).parent.mkdir(exist_ok=True)
        (folder / where).write_text(BLOCKS)
        return network(f"{NET}\nclass Mine(Net):\n{USES.format(statement)}\n{BUILD}", TRAIN)(folder)

    return Case(f"B32{mark}", f"in the constructor: {statement}", write)


def _relative(folder: Path) -> str:
    import numpy as np

    (folder / "store").mkdir()
    space: dict[str, object] = {}
    exec(DATA, space)
    for split, (x, y) in space["load"]().items():  # type: ignore[operator]
        np.savez(folder / "store" / f"{split}.npz", x=x, y=y)
    (folder / "saved.py").write_text(
        "import numpy as np\ndef load():\n    z = {s: np.load(f'store/{s}.npz') for s in ('train', 'test')}\n"
        "    return {s: (one['x'], one['y']) for s, one in z.items()}\n"
    )
    return preset("{name: resnet20, arguments: {width: 4}}", TRAIN, "{name: saved.py:load}")


def _loud(folder: Path) -> str:
    (folder / "loud.py").write_text(LOUD + DATA)
    return preset("{name: resnet20, arguments: {width: 4}}", TRAIN, "{name: loud.py:load}")


def given(change: str) -> Write:
    """A preset on the usual data after `change`, a line of Python that sees what `load` gives as `d`."""

    def write(folder: Path) -> str:
        (folder / "mine.py").write_text(
            f"{DATA}\nof = load\ndef load():\n    d = of()\n    {change}\n    return d\n"
        )
        return preset("{name: resnet20, arguments: {width: 2}}", TRAIN, "{name: mine.py:load}")

    return write


def says(words: str) -> Callable[[Said], str]:
    """Judges that it is refused in these words before anything is trained."""
    return lambda said: "" if said.refused and words in said.messages else last(said.messages) or "no word"


CODE = (
    Case("C01", "test images at another scale", given(SCALED), says("another scale")),
    Case(
        "C02",
        "names of classes as a dictionary",
        given("d['classes'] = {'b': 1, 'a': 0}"),
        says("a dict, not"),
    ),
    Case(
        "C03",
        "labels that are numbers of something else",
        given("d['train'][1][0] = 10**9"),
        says("no numbers"),
    ),
    Case("B29", "load() with an unseeded split", _leak, _refused_leak),
    Case("B30", "a data file that prints", _loud),
    Case("B31", "an imported file is edited", _edited, _new_numbers),
    _importing("", "from blocks import block"),
    _importing("r", "from .more import block", "more.py"),
    _importing("p", "from pkg.blocks import block", "pkg/blocks.py"),
    Case("B33", "np.load relative to the user's folder", _relative),
)
