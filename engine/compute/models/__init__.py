"""Networks: the CIFAR ResNets, torchvision's, and a user's own, fitted to the data's channels and classes."""

from engine.compute.models.build import Architecture, architecture, build, create
from engine.compute.models.resnet import CifarResNet

__all__ = ["Architecture", "CifarResNet", "architecture", "build", "create"]
