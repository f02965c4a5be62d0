"""Models as ONNX files with any batch size, one slow export per structure.

A sweep has dozens of models that differ only in their weights, and torch's exporter takes seconds for each.
So a structure is exported once, with its weights as named holes (the *template*), and each model of it only
fills them in. One in which every number of channels is known (`widths`) serves models of other widths too, which
pruning leaves. The template is optimized while the weights are unknown, so no weight is folded into another;
ONNX Runtime folds BatchNorm when it loads the file. Whatever the way, the file's output is compared with the
model's, and a template that gives another output is replaced by a fresh export.
"""

import contextlib
import functools
import hashlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, cast

import onnx
import torch
from torch import Tensor, nn

from engine.compute.layers import foreign, masks
from engine.compute.layers.copies import copied
from engine.compute.layers.shared import expand_
from engine.compute.numerics.aligned import bits, to_array
from engine.compute.onnx import narrow, widths
from engine.compute.onnx.onnxruntime import OnnxSession
from engine.compute.onnx.shape import Shape, example
from engine.errors import SecateurError, Unavailable, said_by
from engine.store.files import replace

INPUT, OUTPUT = "images", "output"
TEMPLATE_FORMAT = 3
"""Raised when templates are made otherwise, so that older ones are not used."""
TOLERANCE = 1e-3
"""Largest deviation of the file's output, relative to the model's largest output: fp32 in another order of
summation stays below 1e-4, a wrong graph does not."""
AMPLIFIED = 10.0
"""Times the error of the model itself, from rounding, that the file's may be where it is above the tolerance."""
LARGEST = 2**31 - 2**24
"""Bytes of weights in one file: protobuf holds less than 2 GiB, of which the graph takes a little."""
SMALLEST_OUTPUT = 1e-6
"""Below this the deviation is taken as absolute: a model whose output is all zeros has no relative one."""


def export(
    model: nn.Module,
    shape: Shape,
    path: Path,
    *,
    templates: Path | None = None,
    any_width: bool = False,
    pack: bool = True,
) -> Path:
    """Write `model`, masks folded, in eval mode, as the ONNX file `path`: input `images` (N, C, H, W), any N.

    `templates`: a folder for them; `any_width`: all in it are of networks whose code does the same at other widths.
    `pack`: with narrow convolutions as they are fastest on this processor (`narrow`). Raises Unavailable when torch
    cannot export the model, no file can hold it, or the file's output differs from the model's.
    """
    plain = _deployable(model, shape)
    weights = {
        n: t.detach() for n, t in plain.state_dict().items() if isinstance(t, Tensor)
    }  # no extra state
    if (size := sum(weight.nbytes for weight in weights.values())) > LARGEST:
        raise Unavailable(
            "The network is too large for an ONNX file",
            f"Its weights take {size / 1e9:.1f} GB; a file holds at most {LARGEST / 1e9:.1f} GB.",
            "Prune it first, or measure its latency in torch alone: measure.latency.runtimes.",
        )
    kept: list[Path] = []
    if templates is not None:
        kinds = (True, False) if any_width else (False,)
        kept = [templates / f"{structure(plain, shape, any_width=kind)}.template" for kind in kinds]
    if any(_from_template(one, plain, shape, weights, path, pack) for one in kept):
        return path
    template = _traced(plain, shape)
    if kept:
        with contextlib.suppress(OSError):  # it only saves time: a store that is another user's does without
            empty = _emptied(template, weights)
            content = empty.SerializeToString()
            place = kept[0] if any_width and _fit(empty, weights) else kept[-1]
            _write(hashlib.sha256(content).digest() + content, place)
    _fill(template, weights)
    _finish(template, path, pack)
    if (deviation := _deviation(plain, shape, path)) > TOLERANCE:
        path.unlink()
        raise Unavailable(
            "The ONNX file does not compute what the model does",
            f"Its output on a fixed input differs by {deviation:.2g} of the largest output.",
            "Measure its latency in torch alone: measure.latency.runtimes.",
        )
    return path


def _from_template(
    kept: Path, model: nn.Module, shape: Shape, weights: dict[str, Tensor], path: Path, pack: bool
) -> bool:
    """Write `path` from the template `kept`; False when there is none, or none that serves this model."""
    template = _read(kept)
    if template is None or not (_has_shapes(template, weights) or _fit(template, weights)):
        return False
    _fill(template, weights)
    _finish(template, path, pack)
    try:
        return _deviation(model, shape, path) <= TOLERANCE
    except SecateurError:  # readable as protobuf, and yet no model
        return False


def _finish(full: onnx.ModelProto, path: Path, pack: bool) -> None:
    """Write the model, which may be changed, as the file that runtimes get."""
    if pack:
        narrow.pack(full, narrow.lanes())
    _write(full.SerializeToString(), path)


def structure(model: nn.Module, shape: Shape, *, any_width: bool = False) -> str:
    """A hash of all that visibly shapes the graph: modules, their settings, tensors; not the weights.

    Nor the order in which tensors were registered, which folding a mask changes. With `any_width` nor how many channels
    layers have, but for whether it is one, for which torch has ways of its own.
    """
    modules = [
        (name, type(m).__module__, type(m).__qualname__, _settings(m, any_width))
        for name, m in model.named_modules()
    ]
    tensors = [
        (name, str(t.dtype), [min(size, 2) for size in t.shape] if any_width else list(t.shape))
        for name, t in sorted((*model.named_parameters(), *model.named_buffers()), key=itemgetter(0))
    ]
    versions = [TEMPLATE_FORMAT, torch.__version__, onnx.__version__]
    return hashlib.sha256(json.dumps([versions, shape, modules, tensors, any_width]).encode()).hexdigest()


def _settings(module: nn.Module, any_width: bool) -> str:
    if not any_width or type(module) not in widths.WIDTHS:
        return module.extra_repr()
    names = set(cast(list[str], module.__constants__)) - widths.WIDTHS[type(module)]
    return repr([(name, getattr(module, name)) for name in sorted(names)])


def _deployable(model: nn.Module, shape: Shape) -> nn.Module:
    """A copy of the model as it would be shipped: on the CPU, in eval mode, masks folded, weights that its own code
    computes plain, filters shared where that pays."""
    plain = expand_(masks.folded(model).cpu(), shape).eval()
    foreign.plain_(plain)
    return plain.to(memory_format=torch.contiguous_format)


@functools.cache
def keep_operators() -> None:
    """Have torch's exporter read its operators once in this process and its forks.

    It would parse the source of five hundred of them at each export: for a small network, longer than all else takes.
    """
    with contextlib.suppress(
        ImportError, AttributeError
    ):  # of a torch that has them elsewhere: it reads them each time
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        ONNXRegistry.from_torchlib = staticmethod(functools.cache(ONNXRegistry.from_torchlib))  # type: ignore[method-assign]


@contextlib.contextmanager
def _listed_once() -> Iterator[None]:
    """Have torch list its operators once in an export, which takes a tenth of a small network's when done sixty times.

    Not once in a process: the user's code may register operators of its own between two exports.
    """
    from torch._export import utils

    listed = getattr(utils, "_materialize_cpp_cia_ops", None)
    if listed is None:  # a torch that does it otherwise
        yield
        return
    utils._materialize_cpp_cia_ops = functools.cache(listed)
    try:
        yield
    finally:
        utils._materialize_cpp_cia_ops = listed


def _traced(model: nn.Module, shape: Shape) -> onnx.ModelProto:
    """A fresh export, weights included under their names in the state_dict."""
    keep_operators()
    try:
        with _silent(), _listed_once():
            program = torch.onnx.export(
                model,
                (example(2, shape),),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                dynamo=True,
                optimize=False,
                verbose=False,
            )
            assert program is not None
            _optimize(program, set(model.state_dict()))
            return _in_order(_without_traces(program.model_proto))
    except torch.onnx.OnnxExporterError as error:
        raise Unavailable(
            "The model cannot be exported to ONNX",
            " ".join(said_by(error.__cause__ or error)[:3])[:500],
            "Measure its latency in torch alone: measure.latency.runtimes.",
        ) from error


def _optimize(program: torch.onnx.ONNXProgram, weights: set[str]) -> None:
    """Fold what does not depend on `weights`, which are made inputs meanwhile."""
    from onnxscript import optimizer

    graph: Any = program.model.graph
    held = [(value, value.const_value) for name, value in graph.initializers.items() if name in weights]
    for value, _ in held:
        del graph.initializers[value.name]
        value.const_value = None
        graph.inputs.append(value)
    optimizer.optimize_ir(program.model)
    for value, tensor in held:
        graph.inputs.remove(value)
        value.const_value = tensor
        graph.initializers[value.name] = value


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the exporter's notes on each node: long, and full of this machine's paths."""
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    model.graph.ClearField("metadata_props")
    model.ClearField("metadata_props")
    return model


def _in_order(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights by their names, so that equal networks give equal files whatever order they were registered in."""
    model.graph.initializer.sort(key=attrgetter("name"))
    return model


def _emptied(full: onnx.ModelProto, weights: dict[str, Tensor]) -> onnx.ModelProto:
    """The template of `full`: its weights keep name, type and shape, and lose their data."""
    template = onnx.ModelProto()
    template.CopyFrom(full)
    for initializer in template.graph.initializer:
        if initializer.name in weights:
            initializer.ClearField("raw_data")
    return template


def _has_shapes(template: onnx.ModelProto, weights: dict[str, Tensor]) -> bool:
    """Whether the weights have the shapes that the template expects."""
    return all(
        one.name not in weights or tuple(one.dims) == tuple(weights[one.name].shape)
        for one in template.graph.initializer
    )


def _fit(template: onnx.ModelProto, weights: dict[str, Tensor]) -> bool:
    return widths.fit(template, {name: tuple(weight.shape) for name, weight in weights.items()})


def _fill(template: onnx.ModelProto, weights: dict[str, Tensor]) -> None:
    """Put the weights in."""
    for initializer in template.graph.initializer:
        if (weight := weights.get(initializer.name)) is not None:
            initializer.raw_data = to_array(bits(weight)).tobytes()


def _deviation(model: nn.Module, shape: Shape, path: Path) -> float:
    """Largest difference between file and model on a batch that the export did not see, relative.

    0 where no more than rounding makes it, as in an untrained network that amplifies it.
    """
    images = example(3, shape)
    with torch.inference_mode():
        expected: Tensor = model(images)
    given = OnnxSession(path, images, torch.get_num_threads(), "cpu").run(images)
    if given.shape != expected.shape or not torch.equal(given.isfinite(), expected.isfinite()):
        return float("inf")
    # A model that diverged still has a latency: its NaN and infinite outputs only have to be the same ones.
    given, expected = (tensor.where(tensor.isfinite(), 0) for tensor in (given, expected))
    error = _relative(given, expected)
    return 0.0 if error > TOLERANCE and _is_rounding(model, images, expected, given) else error


def _is_rounding(model: nn.Module, images: Tensor, expected: Tensor, given: Tensor) -> bool:
    """Whether the model itself is about as far as the file from what it computes in double precision."""
    try:
        with torch.inference_mode():
            exact: Tensor = copied(model).double()(images.double())
    except RuntimeError:  # it makes tensors of single precision as it goes
        return False
    own, file = (_relative(one.double(), exact) for one in (expected, given))
    return file <= AMPLIFIED * own


def _relative(given: Tensor, expected: Tensor) -> float:
    """The largest difference over the largest value expected."""
    scale = max(float(expected.abs().max()), SMALLEST_OUTPUT)
    return float((given - expected).abs().max()) / scale


def _read(path: Path) -> onnx.ModelProto | None:
    """The template, behind its hash, or None when there is none that is whole: then it is made again."""
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    size = hashlib.sha256().digest_size
    digest, content = stored[:size], stored[size:]
    return onnx.load_model_from_string(content) if hashlib.sha256(content).digest() == digest else None


def _write(content: bytes, path: Path) -> None:
    """Replace `path` in one go, its folder made: no other trial reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, content, durable=False)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without the exporter's progress, warnings and log lines: its failures come as exceptions."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
