"""The machine that computes, as a value: what a study's plan and its keys depend on.

Planning asks this value and nothing of the process that it runs in: a login node plans for the nodes that will compute.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from engine.errors import SecateurError, UsageError
from engine.machine import environment, runtimes
from engine.params.base import StepParams
from engine.params.preset import Latency
from engine.params.runtimes import KIND, PRECISIONS, RUNTIMES, Precision, Runtime
from engine.text.phrases import counted


@dataclass(frozen=True)
class Machine:
    """Where trials run.

    `device` is `cpu` or `cuda`, `threads` the threads of each trial, `cpus` the usable processors. `numerics` is what
    can change a result's bits, `packages` the installed versions, `versions` those of the inference runtimes.
    `lacking` says for each runtime why it does not compute in a precision, empty where it does.
    """

    device: str
    threads: int
    host: str
    cpus: int
    numerics: dict[str, Any]
    packages: dict[str, str]
    versions: dict[Runtime, str]
    lacking: dict[Runtime, dict[Precision, str]]
    missing: dict[Runtime, str]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, for a machine that tells another what it is."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Machine":
        return cls(**values)

    def like(self, other: "Machine") -> list[str]:
        """What tells the other machine from this one and can change bits, as sentences; none where they are alike."""
        return unlike(self.numerics, other.numerics)

    def of_any_node(self, mixed: bool) -> "Machine":
        """This node for a plan that holds on all nodes like it, or, `mixed`, on unlike ones too.

        Measured times belong to the kind of node in place of the host. Keys of a mixed study have neither the processor
        nor the variables that choose its instructions: what is stored under them promises no more than the rest.
        """
        processor = self.numerics["machine"]
        anything = dict.fromkeys(("machine", "variables"), "mixed")
        numerics = self.numerics | anything if mixed else self.numerics
        kind = "mixed" if mixed else f"{processor.get('gpu') or processor['model']} nodes"
        return replace(self, numerics=numerics, host=kind)

    def reasons(self, wanted: Latency) -> list[str]:
        """Why each combination that is asked for cannot be measured here, `` where it can."""
        return [self._reason(r, p, threads) for r, p, _, threads in wanted.combinations()]

    def _reason(self, runtime: Runtime, precision: Precision, threads: int | None) -> str:
        if threads is not None and threads > self.cpus:
            return runtimes.too_many_threads(threads, self.cpus)
        # A machine that was noted down by an older version knows fewer runtimes and precisions.
        lacking = self.lacking.get(runtime, {})
        return lacking.get(precision, f"whether it computes in {precision} is not known yet")

    def _lacks(self, runtime: Runtime) -> str:
        """Why the runtime can't be used here; empty if it can."""
        return self.missing.get(runtime, f"whether {runtime} works there is not known yet")

    def check(self, wanted: Iterable[Latency], targets: Iterable[Runtime]) -> None:
        """Raises SecateurError when one of the `wanted` asks only for what cannot be measured on this machine, or one
        of the runtimes that steps decide by is not here."""
        every = [self.reasons(one) for one in wanted] + [[self._lacks(runtime)] for runtime in targets]
        for reasons in every:
            if all(reasons):
                raise SecateurError(
                    "No latency that the preset asks for can be measured here",
                    "; ".join(dict.fromkeys(reasons)) + ".",
                    "Choose another runtime, precision or number of threads: `secateur doctor` lists what works here.",
                )

    def check_threads(self, threads: int) -> None:
        """Raises UsageError where these are more threads than processors: they would take turns, beside everybody
        else's programs."""
        if threads > self.cpus:
            raise UsageError(
                f"threads: {threads} is more than the processors here",
                f"A trial may use {counted(self.cpus, 'processor')} of {self.host}.",
                f"Use `threads: auto`, or at most {self.cpus}; `secateur doctor` lists what limits them.",
            )

    def check_training(self, step: StepParams, processes: int) -> None:
        """Raises UsageError where a step can't train here as it asks to, in so many `processes` at a time."""
        execution = getattr(step, "execution", "eager")
        precision: Precision = getattr(step, "precision", "fp32")
        if self.device == "cpu" and (execution == "graphs" or precision == "tf32"):
            name, value = ("execution", "graphs") if execution == "graphs" else ("precision", "tf32")
            raise UsageError(
                f"{step.address}: {name}: {value} is for GPUs",
                "The study computes on the processor.",
                f"Leave {name} out, or run it where there is a GPU.",
            )
        if self.device == "cuda" and (why := self.lacking["torch"].get(precision, "")):
            raise UsageError(
                f"{step.address}: precision: {precision} can't be had here", f"{why}.", "Use fp32."
            )
        if execution == "compile" and (why := self._lacks("torch-compile")):
            raise UsageError(
                f"{step.address}: execution: compile can't be had here",
                f"{why}.",
                "Use execution: eager, or graphs on a GPU.",
            )
        batch = getattr(step, "batch", None)
        if processes > 1 and step.trains and batch is not None and batch < 2 * processes:
            raise UsageError(
                f"{step.address}: a batch of {batch} is too small for {processes} processes",
                "Each of them needs two images of every batch.",
                f"Use a batch of {2 * processes} or more, or fewer processes.",
            )
        if execution != "eager" and processes > 1:
            raise UsageError(
                f"{step.address}: execution: {execution} is for one process",
                f"distributed.processes is {processes}.",
                "Use execution: eager, or one process.",
            )

    def timing(self, used: Iterable[Runtime]) -> dict[str, Any]:
        """What measured times depend on beyond `numerics`: the host, and the runtimes that come as packages."""
        files = [r for r in RUNTIMES if KIND[r].reads == "onnx" and (not KIND[r].extra or r in set(used))]
        return {"host": self.host} | {runtime: self.versions[runtime] or None for runtime in files}


def unlike(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """How the `numerics` of another machine differ from ours, as sentences."""
    return [
        f"{name} is {_brief(that)} there and {_brief(this)} here"
        for name, this, that in _differences(ours, theirs)
    ]


def _differences(ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted(ours.keys() | theirs.keys()):
        one, two = ours.get(name), theirs.get(name)
        if isinstance(one, dict) and isinstance(two, dict):
            yield from _differences(one, two)
        elif one != two:
            yield name, one, two


def _brief(value: Any) -> str:
    if value is None:
        return "absent"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def here(
    device: str,
    threads: int | str,
    parallel: int,
    *,
    on: str | None = None,
    distributed: dict[str, Any] | None = None,
    nodes: int = 1,
) -> Machine:
    """This machine, for a preset's `device` and `threads` with so many processes at a time.

    `on` is `cpu` or `cuda` where that is decided already. `distributed` is how several processes train together, over
    so many `nodes`.
    """
    on = on or environment.resolve_device(device)
    each = environment.resolve_threads(threads, parallel)
    chosen = device if on == "cuda" and ":" in device else on
    card = next(iter(environment.gpus(chosen)), None) if on == "cuda" else None
    # NCCL sums in an order that follows the links between GPUs, gloo in that of the processes wherever they are.
    layout = {"nodes": nodes} if on == "cuda" and nodes > 1 else {}
    together = {"distributed": distributed | layout} if distributed else {}
    return Machine(
        on,
        each,
        environment.describe()["host"],
        environment.available_cpus(),
        environment.numerics(on, each, card) | together,
        environment.packages(),
        {runtime: runtimes.version(runtime) for runtime in RUNTIMES},
        {r: {p: runtimes.reason(r, p, chosen) for p in PRECISIONS} for r in RUNTIMES},
        {runtime: runtimes.missing(runtime, chosen) for runtime in RUNTIMES},
    )
