"""Boxes with classes: ultralytics' loss, its non-maximum suppression and COCO's average precision."""

import torch
from torch import Tensor, nn

from engine.compute.data import Dataset, Split
from engine.compute.layers.pieces import at_once
from engine.compute.memory import halving_batch
from engine.compute.models.int8 import QuantizedNetwork
from engine.compute.tasks.base import Outputs, Reduction, Score
from engine.compute.tasks.output import RelativeSquare
from engine.compute.yolo import library
from engine.errors import SecateurError

BATCH = 32
"""Most images per forward pass in evaluation."""
KEPT_CONFIDENCE = 0.05
"""Least confidence of the detections that are stored; average precision counts fainter ones too."""


class Detection:
    """Images with boxes, float32 (N, M, 5): class (−1: none), centre, width, height as fractions of the image."""

    def loss(
        self,
        model: nn.Module,
        images: Tensor,
        targets: Tensor,
        *,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
    ) -> Tensor:
        if label_smoothing:
            raise SecateurError(
                "label_smoothing is for classification",
                f"It is {label_smoothing:g}, and the data has boxes.",
                "Leave it out.",
            )
        raw = _raw(model, images)
        # Autocast's half precision is for the network: the loss sums over thousands of anchors.
        with torch.autocast(images.device.type, enabled=False):
            mean: Tensor = library().loss(model, _full_precision(raw), targets)
        return mean * len(images) if reduction == "sum" else mean

    def score(self, model: nn.Module, data: Dataset, split: Split, device: torch.device) -> Score:
        was_training = model.training
        model.eval()
        with torch.inference_mode():
            most = at_once(model, (data.channels, *data.size), BATCH)
            detections, loss = halving_batch(
                lambda batch: _run(self, model, data, split, device, batch), most
            )
        model.train(was_training)
        true = [_corners(boxes[boxes[:, 0] >= 0], data.size) for boxes in split.labels]
        map50, map50_95 = library().average_precision(detections, true)
        measures = {"map50_95": map50_95, "map50": map50}
        return Score(_stored(detections), map50_95, loss, measures)

    def deviation(self, outputs: Outputs) -> float:
        """Of decoded outputs (N, 4 + classes, A): the mean of that of the scores and that of the boxes.

        Each relative to its own spread, because boxes are in pixels; and a box counts as much as `expected` believes in
        its anchor, because most anchors see no object and their boxes mean nothing.
        """
        of_scores, of_boxes = RelativeSquare(), RelativeSquare()
        for expected, given in outputs:
            boxes, scores = expected[:, :4], expected[:, 4:]
            of_scores.add(scores, given[:, 4:])
            of_boxes.add(boxes, given[:, :4], scores.amax(1, keepdim=True).expand_as(boxes))
        return (of_scores.value + of_boxes.value) / 2

    def agreement(self, one: Tensor, two: Tensor) -> float | None:
        """None: two sets of boxes are more or less alike, and no share of equal ones says how much."""
        return None


def _raw(model: nn.Module, images: Tensor) -> dict[str, Tensor | list[Tensor]]:
    """The head's output before decoding, with all other layers in the mode they are in."""
    head = library().head(model)
    was_training = head.training
    head.training = True
    try:
        raw: dict[str, Tensor | list[Tensor]] = model(images)
    finally:
        head.training = was_training
    return raw


def _full_precision(raw: dict[str, Tensor | list[Tensor]]) -> dict[str, Tensor | list[Tensor]]:
    return {
        name: value.float() if isinstance(value, Tensor) else [part.float() for part in value]
        for name, value in raw.items()
    }


def _run(
    task: Detection, model: nn.Module, data: Dataset, split: Split, device: torch.device, batch: int
) -> tuple[list[Tensor], float | None]:
    """Every image's detections, on the CPU, and the mean loss: none of an INT8 file, which gives boxes decoded."""
    lib = library()
    detections: list[Tensor] = []
    total = 0.0
    told = not isinstance(model, QuantizedNetwork)
    for images, targets in data.batches(split, batch, device=device):
        if told:
            raw = _full_precision(_raw(model, images))
            total += float(lib.loss(model, raw, targets)) * len(images)
            decoded = lib.head(model).decoded(raw)
        else:
            decoded = model(images)
        # Suppression on the CPU: the same detections whatever the device, given the same predictions.
        detections += lib.suppressed(decoded.cpu())
    return detections, total / len(split) if told else None


def _corners(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """(M, 5) of class, centre, width and height in fractions → class, corners in pixels."""
    scale = torch.tensor([size[1], size[0]], dtype=boxes.dtype)
    centre, half = boxes[:, 1:3], boxes[:, 3:5] / 2
    return torch.cat([boxes[:, :1], (centre - half) * scale, (centre + half) * scale], 1)


def _stored(detections: list[Tensor]) -> Tensor:
    rows = [
        torch.cat([torch.full((len(boxes), 1), float(number)), boxes], 1)
        for number, boxes in enumerate(detections)
    ]
    every = torch.cat(rows)
    return every[every[:, 5] >= KEPT_CONFIDENCE].contiguous()
