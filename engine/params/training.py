"""Steps that train: `train` from scratch, `finetune` after a change to the model."""

from typing import Any, ClassVar, Literal

from engine.params.base import Family, Params, StepParams, param


def _eager(value: object) -> bool:
    """What keys leave out, as they did before there was a choice."""
    return value == "eager"


def _zero(value: object) -> bool:
    """What keys leave out, as they did before there was such a share."""
    return value == 0


def _left_out(value: object) -> bool:
    """What keys leave out, as they did before there was such a group."""
    return value is None


class Ema(Params):
    """The exponential moving average of the weights over the updates; how ultralytics trains detectors."""

    revision: ClassVar[int] = 2

    decay: float = param(0.9999, gt=0, lt=1)
    """Share of the average that stays with each update, once the ramp is over."""
    ramp: int = param(2000, ge=1, le=10_000_000, unit="updates")
    """Updates after which the decay has risen to 63 % of that: an average of few updates must not hold the first."""


class Mosaic(Params):
    """Training images put together from parts of four around a random point (Bochkovskiy et al. 2020)."""

    share: float = param(1.0, gt=0, le=1)
    """Share of the images that are."""
    close: float = param(0.1, ge=0, lt=1)
    """Share of the epochs, the last ones, without it: the training ends with images as they are (ultralytics closes it
    for 10 of 100 epochs)."""

    def share_in(self, epoch: int, epochs: int) -> float:
        """Of the images of this epoch, from 1.

        >>> [Mosaic().share_in(epoch, 20) for epoch in (1, 18, 19)]
        [1.0, 1.0, 0.0]
        """
        return 0.0 if closed(self.close, epoch, epochs) else self.share


def closed(share: float, epoch: int, epochs: int) -> bool:
    """Whether an epoch, from 1, is one of the last `share` of all, to the nearest."""
    return epoch > epochs - int(share * epochs + 0.5)


class Training(Params):
    """Gradient descent on the training split."""

    epochs: int = param(10, ge=1, le=10_000, unit="epochs")
    """Passes over the training split."""
    learning_rate: float = param(0.1, gt=0, le=10)
    """Highest learning rate of the schedule."""
    schedule: Literal["onecycle", "cosine", "step", "constant"] = "onecycle"
    """Course of the learning rate: `onecycle` rises and falls, `cosine` and `step` only fall."""
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """Update rule; `sgd` is used with Nesterov momentum."""
    momentum: float = param(0.9, ge=0, lt=1)
    """Momentum of `sgd`, first beta of `adam` and `adamw`."""
    weight_decay: float = param(5e-4, ge=0, le=1)
    """L2 penalty on convolution and linear weights; biases and normalization are left out."""
    batch: int = param(128, ge=1, le=65_536, unit="images")
    """Images per update."""
    label_smoothing: float = param(0.0, ge=0, lt=1)
    """Share of the target spread evenly over all classes."""
    augment: Literal["none", "crop", "crop-flip"] = "none"
    """Random changes to training images: shifted by up to an eighth of their size, mirrored."""
    close_augment: float = param(0.0, ge=0, lt=1, exclude_if=_zero)
    """Share of the epochs, the last ones, without them: ends on images as they are scored (He et al. 2019)."""
    mosaic: Mosaic | None = param(None, exclude_if=_left_out)
    """Of data with boxes: images put together from parts of four others of their batch; by default none is."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """Arithmetic of the forward pass; `bf16` is autocast, but for convolutions that processors train slower so; `tf32`
    (on GPUs) multiplies with 10 bits of the mantissa."""
    keep: Literal["last", "best"] = "last"
    """Which epoch's weights to keep: the last, or the best on the validation split."""
    ema: Ema | None = param(None, exclude_if=_left_out)
    """Score and keep the moving average of the weights instead of those of the last update; by default not."""

    def key_marks(self) -> dict[str, Any]:
        # On processors some convolutions have stayed in float32 since (`numerics.onednn`).
        return super().key_marks() | ({"mixed": 2} if self.precision == "bf16" else {})

    def augment_in(self, epoch: int) -> Literal["none", "crop", "crop-flip"]:
        """The random changes of this epoch, from 1.

        >>> training = Training(epochs=6, augment="crop", close_augment=0.3)
        >>> [training.augment_in(epoch) for epoch in (1, 4, 5, 6)]
        ['crop', 'crop', 'none', 'none']
        """
        return "none" if closed(self.close_augment, epoch, self.epochs) else self.augment


class Retraining(Training):
    """Gradient descent that starts from a trained model."""

    epochs: int = param(1, ge=1, le=10_000, unit="epochs")
    """Passes over the training split."""
    learning_rate: float = param(0.01, gt=0, le=10)
    """Highest learning rate of the schedule."""
    schedule: Literal["onecycle", "cosine", "step", "constant"] = "cosine"
    """Course of the learning rate: `onecycle` rises and falls, `cosine` and `step` only fall; where the rate is high,
    rising first keeps more of what refitting made up for."""


class Fit(Training, StepParams):
    """A step that is gradient descent on the training split."""

    family: ClassVar[Family] = "training"
    trains: ClassVar[bool] = True


class Executed(Params):
    """How a GPU is kept busy by a network whose operators are small."""

    execution: Literal["eager", "graphs", "compile"] = param("eager", exclude_if=_eager)
    """How updates run: operator by operator (`eager`); recorded once and replayed whole as a CUDA graph (`graphs`),
    which saves a GPU the wait for Python; or by kernels that torch.compile builds (`compile`), with other bits."""


class Train(Executed, Fit):
    """Train the model on the training split."""

    kind: ClassVar[str] = "train"


class Finetune(Executed, Retraining, Fit):
    """Train on after a change to the model; masks and other edits are respected."""

    kind: ClassVar[str] = "finetune"
    needs_weights: ClassVar[bool] = True
