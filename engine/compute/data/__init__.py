"""Data sets as tensors: read, split, augmented and normalized in batches."""

from engine.compute.data.dataset import Dataset, Split
from engine.compute.data.images import Images, Subset
from engine.compute.data.load import load

__all__ = ["Dataset", "Images", "Split", "Subset", "load"]
