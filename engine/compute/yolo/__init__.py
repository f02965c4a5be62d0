"""YOLOv8 and YOLO11 detectors. ultralytics (AGPL-3.0, an extra) is imported in `ultra` alone, through `library`."""

from engine.compute.yolo.build import detector
from engine.compute.yolo.library import library

__all__ = ["detector", "library"]
