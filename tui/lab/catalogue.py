"""What can be chosen as model, data set or step, and for what is not available, why."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from engine import datasets
from engine.datasets import RECORDS
from engine.errors import SecateurError
from engine.params import STEPS, catalog
from engine.params.networks import NETWORKS, Network
from engine.params.preset import Data
from engine.params.rows import plain, summary
from engine.runner.executors import site
from engine.text.numbers import count, size

PACKAGES = {"torchvision/": "torchvision", catalog.DETECTOR: "ultralytics"}
"""By how the names of models begin: the package that they come from."""


FACTS = "parameters    MACs   top-1"
"""What stands in the line of a model."""


@dataclass(frozen=True)
class Entry:
    """Something to choose: its name, a word about it, and why it can't be used here (empty if it can)."""

    name: str
    about: str
    missing: str = ""

    @property
    def description(self) -> str:
        return f"not here: {self.about or self.missing}" if self.missing else self.about


def models() -> list[Entry]:
    """Every model a preset can name, with what `FACTS` names, as it is published."""
    return [_model(name, NETWORKS[name]) for name in catalog.MODELS]


def _model(name: str, known: Network) -> Entry:
    package = next((package for start, package in PACKAGES.items() if name.startswith(start)), "")
    lacking = "" if not package or importlib.util.find_spec(package) else f"{package} is not installed"
    top1 = "" if known.top1 is None else f"{known.top1:.1f} %"
    return Entry(name, f"{count(known.parameters):>10}  {count(known.macs):>6}  {top1:>6}", lacking)


def data_sets(workspace: Path) -> list[Entry]:
    """Every built-in data set, those on this machine first. Looks at files: call it in a thread."""
    entries = [_data_set(name, workspace) for name in catalog.DATASETS]
    return sorted(entries, key=lambda entry: bool(entry.missing))


def _data_set(name: str, workspace: Path) -> Entry:
    record = RECORDS.get(name)
    if record is None:
        return Entry(name, "")
    if record.source.own:
        return Entry(name, f"{record.title} (name it as data.root)")
    classes = f", {record.classes} classes" if record.classes else ""
    images = f", {count(record.images.total)} images" if record.images else ""
    return Entry(name, f"{record.title}{classes}{images}", _missing(name, workspace))


def _missing(name: str, workspace: Path) -> str:
    try:
        datasets.locate(Data(name=name), workspace)
    except SecateurError as error:
        return plain(error.remedy or error.detail or error.title)
    return ""


HERE, CLUSTER = "this machine", "Slurm"
"""Places to run at that are no partition's name."""


def places() -> list[Entry]:
    """This machine, and the partitions of its cluster. Asks Slurm once a day: call it in a thread."""
    entries = [Entry(HERE, "in the background, also when you log out")]
    partitions = site.partitions()
    if partitions:
        entries.append(
            Entry(CLUSTER, "as your site and you have settled it (slurm.yaml), else in its own partition")
        )
    for one in partitions:
        gpus = "" if one["gres"] in ("", "(null)") else f", {one['gres']}"
        default = " (the default)" if one["default"] else ""
        memory = size(int(one["memory"].rstrip("+")) * 2**20)
        about = f"{site.nodes_of(one)}, {memory}{gpus}; up to {one['time']}{default}"
        entries.append(Entry(one["name"], about))
    return entries


def steps() -> list[Entry]:
    """Every kind of step, its family first; families stay together."""
    families = list(dict.fromkeys(cls.family for cls in STEPS.values()))
    ordered = sorted(STEPS.items(), key=lambda item: families.index(item[1].family))
    return [Entry(kind, f"{cls.family}: {summary(cls)}") for kind, cls in ordered]
