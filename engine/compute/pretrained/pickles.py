"""Whole pickled models that the user vouches for: unpickled with the classes of today's torch and torchvision.

Unpickling runs whatever code the file asks for. It is done only when the preset says `model.trust_pickle: true`, once,
and what comes out is kept as a checkpoint without pickle.
"""

import importlib
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from engine.compute.pretrained.files import refused
from engine.compute.pretrained.inert import UNREADABLE, Content, Inert, today
from engine.compute.usercode import load_function
from engine.compute.yolo.library import library
from engine.errors import SecateurError
from engine.params.catalog import own_code

_MISC = "torchvision.ops.misc"
_BLOCK = (_MISC, "Conv2dNormActivation")
MOVED: dict[tuple[str, str], tuple[str, str]] = {
    ("torchvision.models.mobilenet", "MobileNetV2"): ("torchvision.models.mobilenetv2", "MobileNetV2"),
    ("torchvision.models.mobilenet", "InvertedResidual"): (
        "torchvision.models.mobilenetv2",
        "InvertedResidual",
    ),
    ("torchvision.models.mobilenet", "ConvBNReLU"): _BLOCK,
    ("torchvision.models.mobilenetv2", "ConvBNReLU"): _BLOCK,
    ("torchvision.models.mobilenetv2", "ConvBNActivation"): _BLOCK,
    ("torchvision.models.mobilenetv3", "ConvBNActivation"): _BLOCK,
    ("torchvision.models.mobilenetv3", "SqueezeExcitation"): (_MISC, "SqueezeExcitation"),
    ("torchvision.models.efficientnet", "ConvBNActivation"): _BLOCK,
    ("torchvision.models.efficientnet", "SqueezeExcitation"): (_MISC, "SqueezeExcitation"),
    (_MISC, "ConvBNActivation"): _BLOCK,
    (_MISC, "Conv2d"): ("torch.nn", "Conv2d"),
    (_MISC, "BatchNorm2d"): ("torch.nn", "BatchNorm2d"),
    ("torchvision.models.utils", "load_state_dict_from_url"): ("torch.hub", "load_state_dict_from_url"),
    ("torch.nn.modules.linear", "_LinearWithBias"): (
        "torch.nn.modules.linear",
        "NonDynamicallyQuantizableLinear",
    ),
    ("torch.nn.backends.thnn", "_get_thnn_function_backend"): ("builtins", "dict"),
}
"""Classes that files of older torch and torchvision name, and what they are called now."""
REMEDY = (
    "Where it was saved: torch.save(model.state_dict(), 'weights.pth'), and name that file; or put the classes in a "
    "file of yours and name its function: model.name: path/file.py:function."
)


def name_of(model: Any) -> str:
    """The class of a pickled model, as the file names it."""
    return model.path if isinstance(model, Inert) else f"{type(model).__module__}.{type(model).__qualname__}"


def untrusted(path: Path, model: Any) -> SecateurError:
    """The refusal of a pickled model that the preset does not vouch for."""
    return refused(
        path,
        f"is a whole pickled model ({name_of(model)}); reading one runs the code inside it, so it was not run",
        "Save its weights instead: torch.save(model.state_dict(), 'weights.pth'). If you trust where the file comes "
        "from: model.trust_pickle: true.",
    )


def unpickle(path: Path, content: Content, name: str) -> Any:
    """What the file holds, its code run; classes of `__main__` are looked for in the user's own file `name`.

    Raises SecateurError before anything runs when a class is missing, and when the file's code fails.
    """
    own = vars(load_function(name, "model")).get("__wrapped__") if own_code(name) else None
    find = _finder(getattr(own, "__globals__", {}))
    if any(one.startswith("ultralytics.") for one in content.foreign):
        library()  # its own import is neither quiet nor offline
    missing = [one for one in content.foreign if _absent(one, find)]
    if missing:
        raise refused(
            path, f"is a pickled model of classes that are not here: {', '.join(missing[:4])}", REMEDY
        )
    try:
        with path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=False, pickle_module=_pickle_with(find))
    except UNREADABLE as error:
        reason = f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}"
        raise refused(
            path, f"is a pickled model that fails when it is loaded: {reason[:200]}", REMEDY
        ) from error


_Find = Callable[[str, str], Any]


def _finder(own: dict[str, Any]) -> _Find:
    def find(module: str, name: str) -> Any:
        module, name = today(module, name)
        module, name = MOVED.get((module, name), (module, name))
        if module == "__main__" and name.partition(".")[0] in own:
            return _member(own[name.partition(".")[0]], name.partition(".")[2])
        return _member(importlib.import_module(module), name)

    return find


def _member(holder: Any, name: str) -> Any:
    for part in filter(None, name.split(".")):
        holder = getattr(holder, part)
    return holder


def _absent(path: str, find: _Find) -> bool:
    """Whether no module has the class; a dotted name may be split into module and class anywhere."""
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            find(".".join(parts[:cut]), ".".join(parts[cut:]))
        except (ImportError, AttributeError):
            continue
        return False
    return True


def _pickle_with(find: _Find) -> Any:
    """What torch.load takes for the module `pickle`, with classes found by `find`."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            return find(module, name)

    def load(file: Any, **options: Any) -> Any:
        return Unpickler(file, **options).load()

    return SimpleNamespace(__name__="pickle", Unpickler=Unpickler, load=load)
