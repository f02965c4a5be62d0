"""How parameters are declared: once, in frozen classes that need no torch.

Validation of presets, the forms of the terminal lab, `secateur params` and the docs are all
rendered from these declarations. The docstring under an attribute is its help text, which
`engine.params.rows` reads from the source when it is shown.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field

from engine.params.overlays import Overlay
from engine.params.runtimes import Runtime

Family = Literal[
    "training", "pruning", "clustering", "factorization", "distillation", "quantization", "repair", "analysis"
]

Foreseen = Literal["surely", "likely", "not"]
"""How far something is known before it is computed."""

Several = Field(strict=False)
"""Marks a tuple parameter, so that a YAML list is taken for it: `Annotated[tuple[int, ...], Several]`."""
Names = Annotated[tuple[str, ...], Several]
Rate = Annotated[float, Field(ge=0, lt=1)]
"""The share of a layer that goes."""


class Params(BaseModel):
    """A group of parameters: immutable, strictly typed, unknown names refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        # A class's validator is built when it is first used: a command uses few of the many, and building all
        # was a quarter of the time to the lab's first frame. Safe in threads from pydantic 2.14 on.
        defer_build=True,
    )

    revision: ClassVar[int] = 1
    """Raised when what a group within others stands for computes something else, so that no results of the older code
    are reused of the steps that have it."""

    def key_marks(self) -> dict[str, Any]:
        """What keys have of the group beside its values."""
        return {"revision": self.revision} if self.revision > 1 else {}


Group = TypeVar("Group", bound=Params)


def param(default: Any = ..., *, unit: str = "", form: str = "", **bounds: Any) -> Any:
    """Declare a parameter: its default, its unit and pydantic's bounds (`ge`, `gt`, `le`, `lt`, …).

    `form` says in words what a `pattern` asks of a text.
    """
    extra = {name: text for name, text in (("unit", unit), ("form", form)) if text}
    return Field(default, json_schema_extra=dict(extra) or None, **bounds)


def defaults(cls: type[Group]) -> Group:
    """A group with every parameter at its default, as the default of another's parameter.

    The same as `cls()`, which would build the class's validator wherever its module is imported.
    """
    return cast(Group, cls.model_construct())


class Clash(ValueError):
    """Raised by a validator for a parameter that is wrong beside the others.

    It says which one, what was given and what is allowed.
    """

    def __init__(self, parameter: str, given: str, allowed: str) -> None:
        super().__init__(f"{parameter}: {given}; {allowed}")
        self.parameter = parameter
        self.given = given
        self.allowed = allowed


class Extent(NamedTuple):
    """What a search knows of a number that says how far a step goes.

    `sign`: 1 where more of it leaves less of every amount, -1 where less of it does, 0 where neither is sure. `ends`:
    whether a network allows so much of it and no more (`engine.errors.OutOfReach`), so that the most has to be found.
    """

    sign: Literal[1, -1, 0] = 1
    ends: bool = False


UNKNOWN = Extent(0)
"""Of any other parameter."""


class StepParams(Params):
    """What every step of a pipeline has; each step kind is one subclass."""

    kind: ClassVar[str]
    family: ClassVar[Family]
    version: ClassVar[int] = 1
    """Raised when the step's arithmetic changes, so that results of the older code are not reused."""
    solver: ClassVar[int] = 0
    """Raised when what `scope: solved` takes from a table changes: results of other scopes are reused all the same."""
    compresses: ClassVar[bool] = False
    """Whether the step makes the model smaller or faster; the model before the first one is the baseline."""
    needs_weights: ClassVar[bool] = False
    """Whether the step makes no sense on a model that was never trained."""
    trains: ClassVar[bool] = False
    """Whether the step leaves a trained model behind."""
    renames: ClassVar[bool] = False
    """Whether the model's layers may be called otherwise afterwards, or be of another type."""
    resizes: ClassVar[bool] = False
    """Whether layers may have fewer channels afterwards, under the names that they had."""
    fits_by: ClassVar[tuple[str, ...]] = ()
    """Parameters by which a network's layers allow the step or not, whatever their weights are; none: any does."""
    last: ClassVar[bool] = False
    """Whether no step can follow, because what this one leaves is for inference alone."""
    file: ClassVar[bool] = False
    """Whether that is a file which a runtime executes, and no network of torch."""
    times_apart: ClassVar[bool] = False
    """Whether times are measured in a part of the step alone, if at all: it computes beside others but for that."""
    rates_of: ClassVar[str] = ""
    """What an earlier `sensitivity` step must have measured (its `of`) for those scopes of the step that go by it."""
    extents: ClassVar[Mapping[str, Extent]] = {}
    """Numbers that say how far the step goes, by their dotted names; a search takes others as they are."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Packages beyond torch's own whose versions can change the step's result."""
    makes: ClassVar[Overlay | None] = None
    """The overlay that the step lays over layers' weights, if it does."""
    clears: ClassVar[frozenset[Overlay]] = frozenset()
    """Overlays that become plain weights, on all layers."""
    may_avoid: ClassVar[frozenset[Overlay]] = frozenset()
    """Of those in `undoes`: overlays that none of the layers it works on need have, so that only the network tells."""
    never_with: ClassVar[frozenset[Overlay]] = frozenset()
    """Of those in `undoes`: where exchanging the two steps does not help either."""
    spares_skipped: ClassVar[bool] = True
    """Whether layers named in `skip` may have what the step would undo."""
    works_on_all: ClassVar[bool] = False
    """Whether it works on all layers but those, so that a single one that has it is met."""

    id: str | None = param(
        None, pattern=r"^[a-z][a-z0-9_-]*$", form="lower-case letters, digits, - and _, a letter first"
    )
    """A name to address this step by in a sweep, needed when the same kind occurs twice."""
    enabled: bool = True
    """Whether the step runs; switched off, it is skipped as if it were not there."""

    @classmethod
    def changes_layers(cls) -> bool:
        """Whether the network's layers may be other ones afterwards, or of other sizes."""
        return cls.renames or cls.resizes

    @property
    def layers_foreseen(self) -> Foreseen:
        """Whether any weights show which layers the step leaves, and of which sizes: they do, others than those that it
        is given may show something else (`likely`), or not without times or a table."""
        return "surely"

    @property
    def by_table(self) -> tuple[str, float] | None:
        """Of a step that takes nothing away but what a table tells of (`rates_of`): the parameter that says how much
        goes, and the share of all layers that it comes to."""
        return None

    @property
    def timed_in(self) -> Runtime | None:
        """The runtime whose measured times the step decides by, if it does: then it runs alone on the machine (see
        `times_apart`), and its result belongs to this host."""
        return None

    @property
    def measures_time(self) -> bool:
        """Whether the step decides by measured times."""
        return self.timed_in is not None

    @property
    def in_pieces(self) -> bool:
        """Whether gradients are taken over as many images at a time as fit into memory, so that how images are cut into
        pieces decides last bits. Every activation is kept for that: even small images may not fit all at once."""
        return getattr(self, "criterion", None) == "taylor"

    @property
    def undoes(self) -> tuple[Overlay, ...]:
        """Overlays that the step would undo: it refuses layers that have one."""
        return ()

    @property
    def skips(self) -> bool:
        """Whether the preset says of which layers the step leaves others alone."""
        return bool(getattr(self, "skip", ())) or bool(self.named)

    @property
    def named(self) -> Mapping[str, float]:
        """What the preset gives to single layers, by their names (`layers`); the step leaves all others as they are."""
        return getattr(self, "layers", {})

    @property
    def makes_everywhere(self) -> bool:
        """Whether every layer that a later step could change is sure to get the overlay that the step makes."""
        return not self.skips

    @property
    def address(self) -> str:
        """What sweeps and plots call this step: its id, or its kind."""
        return self.id or self.kind

    @property
    def unkeyed(self) -> tuple[str, ...]:
        """Parameters that decide nothing as the others are, or of which more than their values counts."""
        return ()

    def refuse_beside_layers(self, *others: str) -> None:
        """For validators: raises Clash where one of `others`, which say it of all layers, is given with `layers`."""
        for other in others if self.named else ():
            if other in self.model_fields_set:
                raise Clash(other, "given together with layers, which say it of each", "one of the two")

    def key_material(self) -> dict[str, Any]:
        """The parameters that decide the step's result, as plain JSON values."""
        unnamed = () if self.named else ("layers",)
        material = _with_marks(
            self, self.model_dump(mode="json", exclude={"id", "enabled", *self.unkeyed, *unnamed})
        )
        return material | (
            {"solver": self.solver} if self.solver and material.get("scope") == "solved" else {}
        )


def _with_marks(group: Params, values: dict[str, Any]) -> dict[str, Any]:
    """The values of a group, and of groups within it, with what keys have of them besides."""
    for name, own in group:
        if isinstance(own, Params) and isinstance(inner := values.get(name), dict):
            values[name] = _with_marks(own, inner)
    return values | group.key_marks()
