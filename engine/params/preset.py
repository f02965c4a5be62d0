"""The sections of a preset around its steps: model, data, measure, executor, plot."""

from itertools import product
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from engine.params.base import Clash, Names, Params, Several, defaults, param
from engine.params.catalog import GIVEN_BY_NAME, own_code
from engine.params.data import Data as Data
from engine.params.data import Seed
from engine.params.runtimes import LARGEST_BATCH, Precision, Runtime
from engine.params.search import Search
from engine.params.slurm import Slurm

AUTO = "auto"
"""A model's name: the network that its weights fit."""


class Model(Params):
    """The network to compress."""

    name: str = AUTO
    """`resnet20` (also 8, 32, 44, 56, 110), `torchvision/NAME`, a detector (`yolo/yolov8n` … `yolo/yolo11x`), or
    your own: `path/file.py:function`; `auto` recognizes the network that the weights of a file belong to."""
    weights: str = "random"
    """`random`, `pretrained` (torchvision's), or a path: a state_dict (`.pth`, `.pt`, `.bin`, `.ckpt`,
    `.safetensors`) or the folder of a checkpoint."""
    trust_pickle: bool = False
    """Whether a file that holds a whole pickled model may be read: reading one runs the code inside it. It
    is converted once, to a checkpoint without pickle."""
    allow_download: bool = False
    """Whether pretrained weights that are not on disk may be downloaded."""
    part: str | None = None
    """Of a file that holds several networks, the one whose tensors' names begin so, such as `teacher`."""
    new_layers: Names = ()
    """Layers of your own network that do not take the file's weights but start at random, such as a last layer for
    other classes: names (`head`, `fc.*`)."""
    arguments: dict[str, Any] = param({})
    """Arguments for the model's constructor, such as `width: 32` for resnet20."""

    @model_validator(mode="after")
    def _of_files(self) -> Self:
        if self.new_layers and own_code(self.name) is None:
            raise Clash(
                "new_layers",
                f"given for {self.name}",
                "a network of your own; others have their last layer replaced where it does not fit",
            )
        for name in ("part", "new_layers"):
            if getattr(self, name) and self.weights in GIVEN_BY_NAME:
                raise Clash(name, f"given with weights: {self.weights}", "weights from a file beside it")
        return self

    @property
    def title(self) -> str:
        """What lists of studies call it: its name, or the file that it is recognized by."""
        return PurePath(self.weights).name if self.name == AUTO else self.name


class Latency(Params):
    """How latency is measured: against the baseline, in alternating blocks, a process each."""

    runtimes: Annotated[tuple[Runtime, ...], Several] = param(("torch", "onnxruntime"), min_length=1)
    """Inference runtimes to measure in: PyTorch as it is or compiled (inductor), ONNX Runtime, OpenVINO."""
    precision: Annotated[tuple[Precision, ...], Several] = param(("fp32",), min_length=1)
    """What float models compute in, where runtime and machine can; INT8 models are measured as they are."""
    batch: Annotated[tuple[Annotated[int, Field(ge=1, le=LARGEST_BATCH)], ...], Several] = param(
        (1,), min_length=1, unit="images"
    )
    """Batch sizes to measure."""
    threads: Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Several] | None = param(
        None, min_length=1
    )
    """Numbers of processor threads to measure with; by default as many as each trial has."""
    blocks: int = param(10, ge=3, le=1000)
    """Alternations between baseline and compressed model."""
    block_ms: float = param(50.0, ge=1, le=10_000, unit="ms")
    """Length of one block (at least one call)."""
    warmup_ms: float = param(200.0, ge=0, le=60_000, unit="ms")
    """Calls before the first block, not counted."""

    def combinations(self) -> list[tuple[Runtime, Precision, int, int | None]]:
        """Runtime, precision, batch and threads (None: as many as the trial has) of each measurement of a float
        model, in the order in which they are done."""
        each = self.threads or (None,)
        return list(dict.fromkeys(product(self.runtimes, self.precision, self.batch, each)))


class Measure(Params):
    """What is measured of every trial beside accuracy (or mAP), sparsity, MACs and parameters."""

    latency: Latency | None = None
    """Inference time; off unless given."""
    size: bool = True
    """Size on disk: plain, gzip and packed."""


class Local(Params):
    """Run on this machine, in a background process that outlives the terminal."""

    parallel: int = param(1, ge=1, le=256, unit="trials")
    """Trials that run at the same time, each on its own processors."""


SETTLED_BY_SITES = ("executor.slurm",)
"""Parameters of which a site or a user may settle what holds where nothing is written (`default: true` in
`slurm.yaml`): null, their own default, is then something to write."""


class Executor(Params):
    """Where trials run: on this machine, or as jobs of a cluster if `slurm` is given. `executor: local` and
    `executor: slurm` for short; either way it holds whatever a site has settled for presets that say nothing."""

    local: Local = defaults(Local)
    """This machine."""
    slurm: Slurm | None = None
    """A cluster's nodes, by Slurm: `slurm: {}` takes the site's defaults."""

    @property
    def parallel(self) -> int:
        """Trials that share a machine at the same time."""
        return 1 if self.slurm is not None else self.local.parallel


class Distributed(Params):
    """Processes that train one trial together, each on a GPU of its own: each takes its part of every batch, and the
    mean of their gradients is what one process would compute. How many is part of what makes bits."""

    processes: int = param(1, ge=1, le=1024, unit="processes")
    """Processes of each trial; on processors too, each with `threads`. Over the nodes of `executor.slurm.nodes`."""
    batch_norm: Literal["sync", "process"] = "sync"
    """BatchNorm normalizes by the whole batch, which costs an exchange in every layer, or by each process's part of
    it, as smaller batches would."""

    def here(self, slurm: Slurm | None) -> int:
        """Processes on each node."""
        return -(-self.processes // ((slurm and slurm.nodes) or 1))


class Plot(Params):
    """The chart that `run` and `plot` draw by default."""

    x: str = param(...)
    """What to draw along: a swept parameter or a measure; of latency and throughput also `batch`, `threads`."""
    y: str = "accuracy"
    """What to draw: a measure."""
    by: str | Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = None
    """Parameter, or several, that lines are named after first; of latency and throughput also `runtime`, `precision`.
    Whatever else is swept tells lines apart too."""
    log: bool = False
    """Whether the y axis is logarithmic."""

    @property
    def scale(self) -> Literal["linear", "log"]:
        """The y axis' scale."""
        return "log" if self.log else "linear"

    @property
    def names(self) -> tuple[str, ...]:
        """All of `by`."""
        return (self.by,) if isinstance(self.by, str) else self.by or ()


class Pick(Params):
    """Which of the study's models to take: the smallest of those that lose little enough."""

    by: str | None = None
    """What it is to have least of: `size.packed`, `effective_macs`, `nonzero_parameters`, or a latency such as
    `latency.onnxruntime.1`; `accuracy` takes the most accurate. By default what the sweep aims at: latency or MACs
    where it sweeps a speed-up, else the packed size."""
    within: float = param(1.0, ge=0, le=100, unit="points")
    """Points of accuracy (or mAP50-95) that it may lose against its baseline, on validation."""
    limits: dict[str, Any] = param({})
    """The most that it may have of other measures: an amount (`size.packed: 500 kB`) or a share of the baseline's
    (`macs: 40 %`)."""


class Settings(Params):
    """A preset without its steps and sweep: everything else, validated on its own."""

    version: Literal[1] = 1
    """Version of the preset format."""
    about: str = ""
    """What the preset is for, in one line."""
    seed: Seed | Annotated[tuple[Seed, ...], Field(strict=False, min_length=1)] = 0
    """Seed of every random choice; a list makes a trial per seed, reported as mean ± deviation."""
    threads: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"
    """Processor threads per trial, part of what makes numbers repeatable; `auto` shares the processors
    among the trials that run at the same time."""
    device: Literal["auto", "cpu", "cuda"] | Annotated[str, Field(pattern=r"^cuda:\d{1,3}$")] = param(
        "auto", form="cuda:NUMBER"
    )
    """Where to compute: `auto` takes a CUDA GPU if there is one. Trials that run at the same time are spread over all
    GPUs that are like the first; `cuda:1` keeps to one, as CUDA_VISIBLE_DEVICES counts them."""
    distributed: Distributed = defaults(Distributed)
    """Several processes that train one trial together."""
    model: Model
    """The network to compress."""
    data: Data
    """The images."""
    measure: Measure = defaults(Measure)
    """What to measure."""
    executor: Executor = defaults(Executor)
    """Where to run."""
    plot: Plot | None = None
    """The chart drawn by default."""
    pick: Pick = defaults(Pick)
    """Which model to take."""
    search: Search | None = None
    """Which model to look for, in place of a sweep."""

    model_config = ConfigDict(protected_namespaces=())

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        for index, seed in enumerate(self.seeds):
            if seed in self.seeds[:index]:
                raise Clash("seed", f"given {seed} twice", "each seed once")
        return self

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.seed if isinstance(self.seed, tuple) else (self.seed,)
