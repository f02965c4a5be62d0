"""`quantize.dynamic` and `quantize.static`: INT8 files from float networks."""

from collections.abc import Iterable, Mapping, Set
from typing import Any

import onnx
from torch import nn

from engine.compute.context import Context, to_device
from engine.compute.layers.select import prunable_layers
from engine.compute.models import edits
from engine.compute.models.int8 import QuantizedNetwork
from engine.compute.onnx.graph import Graph, layer_of
from engine.compute.steps.quantization.dynamic import dynamic
from engine.compute.steps.quantization.graph import float_graph
from engine.compute.steps.quantization.precision.accuracy import Mixing
from engine.compute.steps.quantization.precision.result import layers
from engine.compute.steps.quantization.precision.search import Drawn, best_recipe
from engine.compute.yolo.heads import head_outputs
from engine.params.quantization import QuantizeDynamic, QuantizeStatic

NOTE = "quantization"
"""Where the model's notes, and of `quantize.static` the step's report, hold how it was quantized."""
PRECISION = "precision"
"""The report of each layer: `name`, `precision` (`int8`, `fp32`) and, where that was measured, the `deviation` of the
outputs when it alone is quantized."""


def quantize_dynamic(model: nn.Module, params: QuantizeDynamic, context: Context) -> QuantizedNetwork:
    """The file with integer weights whose activations are quantized on every call."""
    graph = exported(model, context)
    skip = left_out(model, graph, params.skip)
    written, changed, left = dynamic(
        graph, skip=skip, convolutions=params.convolutions, per_channel=params.per_channel
    )
    edits.notes(model)[NOTE] = {"changed": changed, "left": left}
    report_layers([*changed, *left], set(left), context)
    reasons = dict.fromkeys(left.values())
    text = f"quantize.dynamic changes {len(changed)} of {len(changed) + len(left)} layers"
    for reason in reasons:
        names = [layer for layer, why in left.items() if why == reason]
        text += (
            f"; {len(names)} not, because {reason}" if reason != "skipped" else f"; {len(names)} are skipped"
        )
    context.notice("info" if changed else "warning", text)
    return QuantizedNetwork(model, written.SerializeToString(deterministic=True))


def quantize_static(model: nn.Module, params: QuantizeStatic, context: Context) -> QuantizedNetwork:
    """The Q/DQ file with ranges found on training images; at best some layers stay in float."""
    graph = exported(model, context)
    # What gives boxes and scores: 8 bits over the logits of all classes and places are steps of a tenth, which moves
    # scores near a half by a hundredth and so their order; and these 1×1 convolutions are a few per cent of the work.
    skip = left_out(model, graph, (*params.skip, *sorted(head_outputs(model))))
    drawn = Drawn(model, params, context)
    best = best_recipe(graph, params, drawn, skip)
    context.notice("info", f"quantize.static {best.description}")
    note: dict[str, Any] = best.as_dict()
    work = Mixing(model, best.recipe, drawn, context)
    losses: dict[str, float] = {}
    if params.mixed is not None:
        skip, losses = work.accurate(params.mixed, skip)
    if params.faster:
        skip, note["speedup"] = work.fast(skip, params.faster_in)
        if params.mixed is not None:
            work.check(params.mixed, skip)
    every = layers(graph)
    note["float"] = sorted(skip & set(every))
    context.observations |= {NOTE: note, "float_layers": len(note["float"])}
    report_layers(every, skip, context, losses)
    edits.notes(model)[NOTE] = note
    return work.network(skip)


def report_layers(
    names: Iterable[str], left: Set[str], context: Context, losses: Mapping[str, float] | None = None
) -> None:
    """Report every layer's precision, those in `left` being in float, and what was measured that 8 bits cost it."""
    known = losses or {}
    context.observations[PRECISION] = [
        {"name": name, "precision": "fp32" if name in left else "int8"}
        | ({"deviation": known[name]} if name in known else {})
        for name in names
    ]


def exported(model: nn.Module, context: Context) -> onnx.ModelProto:
    """The float graph of the model as it stands, which is put on the device."""
    to_device(model, context.device).eval()
    return float_graph(model, (context.data.channels, *context.data.size), context.templates)


def left_out(model: nn.Module, graph: onnx.ModelProto, skip: tuple[str, ...]) -> frozenset[str]:
    """Names of the graph's nodes that hold the weights of layers which `skip` names by name or type.

    Raises SecateurError when an entry of `skip` names no layer, or when no layer is left.
    """
    if not skip:
        return frozenset()
    kept = prunable_layers(model, skip)
    gone = set(prunable_layers(model, ())) - set(kept)
    read = Graph(graph)
    return frozenset(node.name for node in read.weighted() if layer_of(node, read) in gone)
