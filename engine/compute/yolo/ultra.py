"""All that is used of ultralytics: its networks, its loss, its non-maximum suppression and its average precision.

The only module that imports it; get it from `engine.compute.yolo.library`, which does so offline.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torchvision  # noqa: F401  (NMS uses torchvision's only where it is imported already)
from torch import Tensor, nn
from ultralytics.nn.modules.head import Detect
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils import SETTINGS
from ultralytics.utils.loss import v8DetectionLoss
from ultralytics.utils.metrics import ap_per_class, box_iou
from ultralytics.utils.nms import non_max_suppression
from ultralytics.utils.tal import make_anchors

from engine.compute.numerics.aligned import to_array

dict.__setitem__(SETTINGS, "sync", False)  # no analytics; not through its own setter, which writes a file

GAINS = {"box": 7.5, "cls": 0.5, "dfl": 1.5}
"""Weights of the three parts of the loss: ultralytics' defaults for training."""
CONFIDENCE = 0.001
"""Least confidence of a detection that counts in average precision: ultralytics' validation default."""
OVERLAP = 0.7
"""IoU from which the less confident of two detections of a class goes: ultralytics' validation default."""
MOST = 300
"""Detections kept per image: ultralytics' and COCO's practice."""
THRESHOLDS = torch.linspace(0.5, 0.95, 10)
"""IoU at which average precision is taken (COCO)."""


class Bins(nn.Module):
    """0, 1, … as a buffer (1, bins, 1, 1)."""

    weight: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.arange(count, dtype=torch.float32).view(1, -1, 1, 1))


class Integral(nn.Module):
    """The expected value of each side's distribution over bins (DFL, Li et al. 2020, equation 4).

    ultralytics does this with a frozen convolution, which pruning would take for a layer to prune and training
    for one to train. Here it is a buffer, of the same name and shape, so that published weights fit.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.conv = Bins(count)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 4 · bins, A) → (B, 4, A)."""
        bins = self.conv.weight.view(1, 1, -1, 1)
        batch, _, anchors = x.shape
        return (x.view(batch, 4, bins.shape[2], anchors).softmax(2) * bins).sum(2)


class Head(Detect):  # type: ignore[misc]
    """ultralytics' Detect that remembers nothing of the last image and gives one tensor in eval mode."""

    def forward(self, x: list[Tensor]) -> Any:
        """In eval mode (B, 4 + classes, A): centre, width and height in pixels, class scores 0 … 1."""
        raw = self.forward_head(x, **self.one2many)
        return raw if self.training else self.decoded(raw)

    def decoded(self, raw: dict[str, Any]) -> Tensor:
        anchors, strides = (t.transpose(0, 1) for t in make_anchors(raw["feats"], self.stride, 0.5))
        boxes = self.decode_bboxes(self.dfl(raw["boxes"]), anchors.unsqueeze(0)) * strides
        return torch.cat((boxes, raw["scores"].sigmoid()), 1)


def network(name: str, channels: int, classes: int) -> nn.Module:
    """A detector such as `yolov8n` from ultralytics' own YAML, with random weights, on the CPU."""
    # On torch's meta device the strides, which are measured by a forward pass, would be lost.
    with torch.device("cpu"):
        model = DetectionModel(f"{name}.yaml", ch=channels, nc=classes, verbose=False)
        last = model.model[-1]
        last.__class__ = Head
        last.dfl = Integral(last.reg_max)
    model.args = SimpleNamespace(**GAINS)
    detector: nn.Module = model
    return detector


def head(model: nn.Module) -> Head:
    """The detection head, its last module."""
    last = model.model[-1]  # type: ignore[index]
    assert isinstance(last, Head)
    return last


def loss(model: nn.Module, raw: dict[str, Any], targets: Tensor) -> Tensor:
    """v8DetectionLoss (box, class and DFL) per image, for the head's output in training mode.

    `targets` (B, M, 5): class (−1: no object), centre x and y, width, height as fractions of the image.
    """
    image, place = (targets[..., 0] >= 0).nonzero(as_tuple=True)
    boxes = targets[image, place]
    batch = {"batch_idx": image.to(boxes), "cls": boxes[:, 0], "bboxes": boxes[:, 1:]}
    total: Tensor = v8DetectionLoss(model)(raw, batch)[0].sum()
    return total / len(targets)


def suppressed(predictions: Tensor) -> list[Tensor]:
    """Detections of each image after non-maximum suppression: (K, 6), corners in pixels, confidence, class."""
    kept: list[Tensor] = non_max_suppression(
        predictions, CONFIDENCE, OVERLAP, multi_label=True, max_det=MOST, max_time_img=float("inf")
    )
    return kept


def average_precision(detections: list[Tensor], targets: list[Tensor]) -> tuple[float, float]:
    """mAP at IoU 0.5, and its mean over IoU 0.5 … 0.95 (COCO); 0 where there is no object at all.

    `detections` per image as `suppressed` gives them; `targets` per image (M, 5): class, corners in pixels.
    """
    hits = [_hits(detected, true) for detected, true in zip(detections, targets, strict=True)]
    every, true = torch.cat(detections), torch.cat(targets)
    if not len(true):
        return 0.0, 0.0
    columns = (np.concatenate(hits), to_array(every[:, 4]), to_array(every[:, 5]), to_array(true[:, 0]))
    precision: np.ndarray[Any, Any] = ap_per_class(*columns)[5]
    return float(precision[:, 0].mean()), float(precision.mean())


def _hits(detections: Tensor, targets: Tensor) -> "np.ndarray[Any, Any]":
    """Which detections are right at each threshold: bool (K, 10); an object is found once, by the most confident.

    ultralytics' rule: detections in order of confidence, each takes the free object of its class that it
    overlaps most.
    """
    overlaps = box_iou(targets[:, 1:], detections[:, :4]) * (targets[:, :1] == detections[None, :, 5])
    values, thresholds = to_array(overlaps), to_array(THRESHOLDS)
    correct = np.zeros((len(detections), len(thresholds)), dtype=bool)
    taken = np.zeros((len(targets), len(thresholds)), dtype=bool)
    columns = np.arange(len(thresholds))
    for number in np.flatnonzero((values >= thresholds.min()).any(0)):
        free = np.where(taken, 0, values[:, number, None])
        nearest = free.argmax(0)
        correct[number] = free[nearest, columns] >= thresholds
        taken[nearest, columns] |= correct[number]
    return correct
