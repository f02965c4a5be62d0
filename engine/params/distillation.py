"""The step that trains with a teacher."""

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from engine.params.base import Clash, Family, Names, Params, defaults, param
from engine.params.catalog import DETECTOR, GIVEN_BY_NAME, MODELS, own_code
from engine.params.preset import AUTO, Model
from engine.params.training import Fit, Training
from engine.params.variants import kind_from_name


class NoTeacher(Params):
    """Train on the labels alone: the same images in the same order, to compare with."""

    kind: Literal["none"] = "none"


class BaselineTeacher(Params):
    """The study's own uncompressed model: the last one before the first compression."""

    kind: Literal["baseline"] = "baseline"


class ModelTeacher(Model):
    """Another network: from a file of weights, torchvision's pretrained one, or one trained for this study."""

    kind: Literal["model"] = "model"
    train: Training | None = None
    """How to train the teacher before it teaches; once for all trials that share it. Needed where its weights
    are random, or are for other classes."""

    @model_validator(mode="after")
    def _can_be_had(self) -> Self:
        known = self.name in MODELS or self.name == AUTO or own_code(self.name) is not None
        if not known or self.name.startswith(DETECTOR):
            raise Clash(
                "name", f"given '{self.name}'", "a classifier: resnet20, torchvision/NAME or file.py:function"
            )
        if self.name == AUTO and self.weights in GIVEN_BY_NAME:
            raise Clash("name", f"is auto, but weights are {self.weights}", "a name, or weights from a file")
        if self.weights == "random" and self.train is None:
            raise Clash("train", "is missing, and the weights are random", "training for the teacher")
        return self


Teacher = Annotated[NoTeacher | BaselineTeacher | ModelTeacher, Field(discriminator="kind"), kind_from_name]


class Soft(Params):
    """The teacher's probabilities, softened."""

    temperature: float = param(4.0, gt=0, le=100)
    """What logits are divided by before the softmax: higher shows more of what the teacher thinks of the other
    classes."""


class Mixed(Soft):
    """The teacher's probabilities beside the labels."""

    temperature: float = param(2.0, gt=0, le=100)
    """What logits are divided by before the softmax: higher shows more of what the teacher thinks of the other
    classes. It is no better for a student near its teacher, and holds back one that is far from it, as after low ranks
    or from random weights."""
    alpha: float = param(0.9, ge=0, le=1)
    """Weight of the teacher's probabilities (their divergence times the squared temperature); the rest is the
    labels'."""


class Logits(Mixed):
    """The student's probabilities follow the teacher's (Hinton et al. 2015)."""

    kind: Literal["logits"] = "logits"


class Decoupled(Soft):
    """How sure the teacher is of the class, and how it ranks the others, weighted apart, beside the labels (Zhao et
    al. 2022)."""

    kind: Literal["decoupled"] = "decoupled"
    target: float = param(1.0, ge=0, le=100)
    """Weight of the probability of the class itself (TCKD, the paper's alpha)."""
    others: float = param(1.0, ge=0, le=100)
    """Weight of the probabilities of the other classes among themselves (NCKD, the paper's beta)."""
    warmup: float = param(0.1, ge=0, le=1)
    """Share of the training in which both weights grow from 0; left out where there are no labels."""


class Inside(Mixed):
    """What layers inside follow, beside labels and probabilities."""

    beta: float = param(1.0, gt=0, le=1e6)
    """Weight of the distance between layers inside (half the mean square of `features`, half the square of
    `attention`), summed over the pairs."""
    layers: Names = ()
    """Layers to compare: a name that both networks have (`layer2`), or `STUDENT=TEACHER`; by default the ends
    of their stages, where the image size changes."""


class Features(Inside):
    """Feature maps follow the teacher's through 1×1 convolutions that are dropped afterwards (FitNets, Romero et
    al. 2015), in the same training as the labels."""

    kind: Literal["features"] = "features"


class Attention(Inside):
    """Maps of where the features are strong follow the teacher's (Zagoruyko & Komodakis 2017)."""

    kind: Literal["attention"] = "attention"


class Correlated(Soft):
    """The student's probabilities rise and fall with the teacher's, over the classes of an image and over the images of
    a batch, and need not equal them: for a teacher much stronger than the student (DIST, Huang et al. 2022)."""

    kind: Literal["dist"] = "dist"
    beta: float = param(2.0, ge=0, le=1000)
    """Weight of the relation between the classes of an image (the paper's beta), beside the labels' 1."""
    gamma: float = param(2.0, ge=0, le=1000)
    """Weight of the relation between the images of a batch in a class (the paper's gamma)."""


class Relational(Mixed):
    """Distances and angles between the images of a batch, in the features of one layer, follow the teacher's (RKD, Park
    et al. 2019), beside labels and probabilities."""

    kind: Literal["relations"] = "relations"
    alpha: float = param(0.0, ge=0, le=1)
    """Weight of the teacher's probabilities (their divergence times the squared temperature); the rest is the
    labels'."""
    distance: float = param(25.0, ge=0, le=1e6)
    """Weight of the distances between two images."""
    angle: float = param(50.0, ge=0, le=1e6)
    """Weight of the angles that three images make."""
    layers: Names = ()
    """Layers to compare, averaged over the image: a name that both networks have (`layer3`), or `STUDENT=TEACHER`; by
    default the end of the last stage."""


Method = Annotated[
    Logits | Decoupled | Features | Attention | Correlated | Relational,
    Field(discriminator="kind"),
    kind_from_name,
]


class Distill(Fit):
    """Train with a teacher: from the start, or to recover after a compression."""

    kind: ClassVar[str] = "distill"
    family: ClassVar[Family] = "distillation"
    fits_by: ClassVar[tuple[str, ...]] = ("teacher", "method")

    teacher: Teacher = defaults(BaselineTeacher)
    """Whose answers to learn from; `none` is the same training without one."""
    method: Method = defaults(Logits)
    """What of the teacher to learn from."""
    labels: bool = True
    """Whether the training images' labels are used too; without, only the teacher's answers count."""
    control: bool = False
    """Whether the same student is trained alike without a teacher (always with labels), in every trial:
    `distillation_gain` is the accuracy above it."""
    epochs: int = param(1, ge=1, le=10_000, unit="epochs")
    """Passes over the training split."""
    learning_rate: float = param(0.01, gt=0, le=10)
    """Highest learning rate of the schedule."""
    schedule: Literal["onecycle", "cosine", "step", "constant"] = "cosine"
    """Course of the learning rate: `onecycle` rises and falls, `cosine` and `step` only fall."""

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if isinstance(self.teacher, NoTeacher) and not self.labels:
            raise Clash("labels", "given false without a teacher", "true, or a teacher to learn from")
        return self

    @property
    def without_teacher(self) -> "Distill":
        """The control: all else equal."""
        # The kind is given, because a worker is told only what was given.
        return self.model_copy(update={"teacher": NoTeacher(kind="none"), "labels": True, "control": False})

    @property
    def unkeyed(self) -> tuple[str, ...]:
        """The teacher, whose own key goes in beside; where there is none, `method` decides nothing."""
        ignored = ("method", "labels") if isinstance(self.teacher, NoTeacher) else ()
        return ("teacher", "control", *ignored)


def own_teachers(steps: Iterable[Params]) -> Iterator[ModelTeacher]:
    """Of the teachers in these steps those that are networks of their own, in order."""
    for step in steps:
        if isinstance(step, Distill) and isinstance(step.teacher, ModelTeacher):
            yield step.teacher
