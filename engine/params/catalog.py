"""The names a preset can use for models and data sets: plain data, so that checking one imports nothing.

This is the one list of what a network may be called, wherever the name comes from: a preset, a checkpoint's folder, an
object of the store, an export. Whatever is not on it is the user's own code, or refused.
"""

import os
import re
from collections.abc import Collection
from typing import NamedTuple

_TORCHVISION = """
    alexnet convnext_base convnext_large convnext_small convnext_tiny densenet121 densenet161
    densenet169 densenet201 efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3
    efficientnet_b4 efficientnet_b5 efficientnet_b6 efficientnet_b7 efficientnet_v2_l
    efficientnet_v2_m efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet0_5 mnasnet0_75
    mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_16gf
    regnet_x_1_6gf regnet_x_32gf regnet_x_3_2gf regnet_x_400mf regnet_x_800mf regnet_x_8gf
    regnet_y_128gf regnet_y_16gf regnet_y_1_6gf regnet_y_32gf regnet_y_3_2gf regnet_y_400mf
    regnet_y_800mf regnet_y_8gf resnet101 resnet152 resnet18 resnet34 resnet50 resnext101_32x8d
    resnext101_64x4d resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5
    shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 swin_b swin_s swin_t swin_v2_b swin_v2_s
    swin_v2_t vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn vit_b_16 vit_b_32
    vit_h_14 vit_l_16 vit_l_32 wide_resnet101_2 wide_resnet50_2
"""

DETECTOR = "yolo/"
"""How the names of detectors begin."""

MODELS: tuple[str, ...] = (
    *(f"resnet{depth}" for depth in (8, 20, 32, 44, 56, 110)),
    *(f"torchvision/{name}" for name in _TORCHVISION.split()),
    *(f"{DETECTOR}{family}{size}" for family in ("yolov8", "yolo11") for size in "nsmlx"),
)
"""The CIFAR ResNets (He 2016, section 4.2), every classification model of torchvision, YOLO's detectors."""

DATASETS: tuple[str, ...] = (
    "digits",
    "digits-detection",
    "fashion-mnist",
    "mnist",
    "kmnist",
    "qmnist",
    "emnist-balanced",
    "emnist-byclass",
    "emnist-bymerge",
    "emnist-digits",
    "emnist-letters",
    "emnist-mnist",
    "cifar10",
    "cifar100",
    "svhn",
    "stl10",
    "usps",
    "semeion",
    "omniglot",
    "fer2013",
    "caltech101",
    "caltech256",
    "clevr",
    "country211",
    "dtd",
    "eurosat",
    "fgvc-aircraft",
    "flowers102",
    "food101",
    "gtsrb",
    "imagenet",
    "imagenette",
    "imagenette-160",
    "imagenette-320",
    "inaturalist-2021",
    "inaturalist-2021-mini",
    "lfw-people",
    "oxford-iiit-pet",
    "pcam",
    "places365",
    "rendered-sst2",
    "stanford-cars",
    "sun397",
    "imagefolder",
    "webdataset",
    "yolo",
)
"""Built-in data sets, `imagefolder` for folders of a user's own images, `webdataset` for tar
files of them, `yolo` for their own with boxes."""

OWN_DATA = {
    "imagefolder": "the folder that holds the images, for imagefolder",
    "webdataset": "the folder that holds the tar files, for webdataset",
    "yolo": "the data.yaml that lists the images, for yolo",
}
"""Data sets that are the user's own, and what `data.root` must name for them."""

DETECTION: tuple[str, ...] = ("digits-detection", "yolo")
"""Those of them that have boxes, for detectors."""

GIVEN_BY_NAME = ("random", "pretrained")
"""What `model.weights` takes beside the path of a file or folder."""
WEIGHT_FILES = ("model.json", "model.safetensors", "pytorch_model.bin", "model.pth", "model.pt")
"""What a folder named by `model.weights` may hold: a checkpoint of ours, or another program's weights."""

UNSAVED = "unsaved.safetensors"
"""Beside a checkpoint's `model.safetensors`: what the network holds that no state_dict has."""

_CIFAR = re.compile(r"resnet[1-9][0-9]{0,3}")
"""CIFAR ResNets of any depth: weights that are brought may be of one that `MODELS` does not offer."""
_OWN_CODE = re.compile(r"(?P<file>[^\0\n]*[^\0\n/]\.py):(?P<function>[^\W\d]\w*)")


class OwnCode(NamedTuple):
    """A function of the user's own, and the file of Python source that it is in."""

    file: str
    function: str


def own_code(name: str) -> OwnCode | None:
    """What `path/file.py:function` names; None for any other text.

    >>> own_code("nets/mine.py:wide")
    OwnCode(file='nets/mine.py', function='wide')
    >>> [own_code(name) for name in ("resnet20", "mine.pyc:wide", "mine.PY:wide", "mine.py:a.so:wide", "nets/.py:wide")]
    [None, None, None, None, None]
    """
    match = _OWN_CODE.fullmatch(name)
    return OwnCode(match["file"], match["function"]) if match else None


def is_built_in(name: str) -> bool:
    """Whether a network of this name comes with the program or its libraries: no code of anybody else is run for it.

    >>> is_built_in("resnet20"), is_built_in("torchvision/resnet18"), is_built_in("torchvision/../evil")
    (True, True, False)
    """
    return name in MODELS or _CIFAR.fullmatch(name) is not None


def may_build(name: str, named: Collection[str]) -> bool:
    """Whether a network of this name may be built for a preset whose models are `named` so.

    What comes with the program may be; of the user's own code, only the very functions that the preset names,
    whichever way their paths are written.

    >>> may_build("resnet20", ()), may_build("/home/me/nets.py:wide", ["auto", "resnet20"])
    (True, False)
    >>> may_build("/home/me/nets.py:wide", ["/home/me/x/../nets.py:wide"])
    True
    """
    code = own_code(name)
    return is_built_in(name) or (
        code is not None and _real(code) in map(_real, filter(None, map(own_code, named)))
    )


def _real(code: OwnCode) -> OwnCode:
    return OwnCode(os.path.realpath(code.file), code.function)
