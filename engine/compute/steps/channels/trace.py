"""Follows channels through a network's forward pass, whatever its modules look like.

Beside every activation goes a tensor of its shape that says which channel each element belongs to. Operations that
move elements (views, permutations, concatenations) move these labels the same way; products and normalizations tie
them to positions of weights; operations between activations tie labels to each other. That finds what DepGraph
(Fang et al. 2023) calls groups, through reshapes, shuffles and attention too. What an operation does that is not known
here, fixes the channels that go in.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from engine.compute.layers.passes import running, taken_by, tensors_in
from engine.compute.models.architecture import architecture
from engine.compute.steps.channels.coupling import FREE, CouplingGraph
from engine.compute.steps.channels.labels import (
    broadcast,
    compress,
    concat,
    constant,
    keeps,
    labels_along,
    linked_by_view,
    meets,
    spread,
)
from engine.compute.steps.channels.tensor_index import TensorIndex

MOVES = frozenset(
    [
        "view",
        "_unsafe_view",
        "reshape",
        "permute",
        "transpose",
        "t",
        "unsqueeze",
        "squeeze",
        "expand",
        "slice",
        "select",
        "index",
        "repeat",
        "flip",
        "roll",
    ]
)
"""Operations that only move elements: done to the labels as they are."""
PARTS = frozenset(["split", "split_with_sizes", "chunk", "unbind"])
CREATIONS = ("new_", "zeros", "ones", "empty", "full", "rand")
"""How the names of operations begin that take no more than a size from a tensor."""
OUTPUT = "the output"
"""Why the channels of what the model puts out are fixed."""
REDUCTIONS = frozenset(["mean", "sum", "amax", "amin", "linalg_vector_norm", "var", "std"])
NORMS = {
    "native_batch_norm": 1,
    "_native_batch_norm_legit": 1,
    "_native_batch_norm_legit_no_training": 1,
    "_batch_norm_with_update": 1,
    "_batch_norm_no_update": 1,
    "cudnn_batch_norm": 1,
    "miopen_batch_norm": 1,
    "native_layer_norm": -1,
}
"""Normalizations, and the dimension that their weights lie along."""


def example_for(model: nn.Module) -> Tensor:
    """A random image (1, C, H, W) such as `model` takes."""
    arch = architecture(model)
    random = torch.Generator().manual_seed(0)
    return taken_by(model, torch.randn(1, arch.channels, *arch.size, generator=random))


def trace(model: nn.Module, example: Tensor) -> CouplingGraph:
    """The ties that one forward pass of `model` on `example` (1, C, H, W) shows; call it in eval mode."""
    with running(model) as now:
        tracer = Tracer(TensorIndex(model), now)
        with torch.no_grad(), tracer:
            output = model(example)
    tracer.links.because = OUTPUT
    for result in tensors_in(output):
        if (labels := tracer.labels_of(result)) is not None:
            tracer.links.fix(constant(labels))
    return tracer.links


class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, collects in `links` what every operation ties together."""

    def __init__(self, memory: TensorIndex, running: Sequence[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._running = running
        self.links = CouplingGraph()
        self._memory = memory
        self._labels: Any = WeakTensorKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Below autograd and modules: in-place operations, functions and loose parameters are all seen here.
        output = func(*args, **(kwargs or {}))
        given = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | (kwargs or {})
        self._follow(func, _name(func), list(args), given, output)
        return output

    def labels_of(self, tensor: Any) -> Tensor | None:
        """The labels of an activation, or of a loose parameter or buffer."""
        if not isinstance(tensor, Tensor):
            return None
        labels: Tensor | None = self._labels.get(tensor)
        if labels is None and (place := self._memory.find(tensor)) is not None:
            # Not a stored label: the tensor is a view of a parameter, whatever its shape and strides. Laying the
            # numbers out as the parameter lies in memory and reading them with the view's strides gives each of its
            # elements the number of the parameter's element at that address.
            numbers = self.links.elements(place.name, place.shape)
            in_memory = torch.empty(place.shape.numel(), dtype=torch.long)
            in_memory.as_strided(place.shape, place.stride).copy_(numbers)
            return in_memory.as_strided(tensor.shape, tensor.stride(), place.start)
        return labels

    def _put(self, output: Any, labels: Tensor | None) -> None:
        if isinstance(output, tuple | list):
            output = output[0]
        if not isinstance(output, Tensor):
            return
        if labels is None:
            self._labels.pop(output, None)
        else:
            self._labels[output] = labels.expand(output.shape)

    def _follow(self, func: Any, name: str, args: list[Any], given: dict[str, Any], output: Any) -> None:
        self.links.because = f"{name} in {self._running[-1] or 'the network itself'}"
        if name in ("convolution", "_convolution", "convolution_overrideable"):
            self._convolution(args, output)
        elif name in ("mm", "linear", "addmm", "bmm", "baddbmm"):
            self._product(name, args, output)
        elif name in NORMS:
            self._norm(args[0], [a for a in args[1:5] if isinstance(a, Tensor)], NORMS[name], output)
        elif name == "native_group_norm":
            # (groups, C / groups): groups stay equal only if each loses the same offsets.
            groups = self._vector(args[0], 1).view(args[6], -1)
            self.links.tie(groups, groups[:1])
            self._norm(args[0], [a for a in args[1:3] if isinstance(a, Tensor)], 1, output)
        elif name.startswith("_scaled_dot_product"):
            self._attention(args[:3], output)
        elif name in MOVES:
            self._move(func, args, output)
        elif name.startswith(CREATIONS):
            # What is made like a tensor has its size, and shrinks with it.
            self._put(output, self.labels_of(args[0]) if name.endswith("_like") else None)
        elif name in PARTS:
            self._parts(func, args, output)
        elif name == "cat":
            self._concatenate(args, output)
        elif name in REDUCTIONS and given.get("dim") is not None:
            self._reduce(args[0], given["dim"], output)
        else:
            self._pointwise(args, output)

    def _vector(self, tensor: Tensor, dim: int) -> Tensor:
        """The labels along one dimension, zeros where there are none; fixed if they vary along another."""
        labels = self.labels_of(tensor)
        if labels is None:
            return torch.zeros(tensor.shape[dim], dtype=torch.long)
        vector = labels_along(labels, dim)
        if vector is None:
            self.links.fix(constant(labels))
            return torch.zeros(tensor.shape[dim], dtype=torch.long)
        return vector

    def _convolution(self, args: list[Any], output: Tensor) -> None:
        images, weight, bias, transposed, groups = args[0], args[1], args[2], args[6], args[8]
        entering = self._vector(images, 1)
        place = self._memory.find(weight)
        if place is None or not place.is_whole(weight) or (transposed and groups > 1):
            self.links.fix(entering)
            self._fix_all([bias])
            if place is not None:
                self.links.fix_tensor(place.name, place.shape)
            self._put(output, None)
            return
        # Weights are (O, I / groups, h, w); those of a transposed convolution (I, O, h, w).
        o, i = (1, 0) if transposed else (0, 1)
        leaving = self.links.dim(place.name, o, weight.shape[o])
        if groups > 1 and weight.shape[1] == 1:
            # Depthwise, (O, 1, h, w): input channel c makes the O / groups outputs from c · O / groups on. Dimension 1
            # is no channel and has no numbers.
            self.links.tie(entering.repeat_interleave(len(leaving) // groups), leaving)
        else:
            taken = self.links.dim(place.name, i, weight.shape[i])
            # (groups, I / groups) against (I / groups,): one input position of the weight serves every group, so
            # all groups lose the same offset; and as torch keeps groups equal, of their outputs as well.
            self.links.tie(entering.view(groups, -1), taken)
            self.links.tie(leaving.view(groups, -1), leaving.view(groups, -1)[:1])
        if (numbers := self.labels_of(bias)) is not None:
            self.links.tie(numbers, leaving)
        self._put(output, broadcast(leaving, 1, output.shape))

    def _product(self, name: str, args: list[Any], output: Tensor) -> None:
        bias: Any = None
        if name in ("addmm", "baddbmm"):
            bias, args = args[0], args[1:]
        elif name == "linear":
            bias, args = (args[2] if len(args) > 2 else None), [args[0], args[1].t()]
        place = self._memory.find(args[1])
        axes = place.axes(args[1]) if place is not None else None
        if place is None or axes is None:
            self._put(output, self._between(args[0], args[1], output))
            return
        # The operand is (inputs, outputs): a Linear's weight transposed, or a part of it (attention's thirds).
        taken, leaving = (self.links.dim(place.name, d, place.shape[d])[part] for d, part in axes)
        self.links.tie(self._vector(args[0], -1), taken)
        if (numbers := self.labels_of(bias)) is not None:
            self.links.tie(numbers, leaving)
        self._put(output, broadcast(leaving, -1, output.shape))

    def _between(self, one: Tensor, two: Tensor, output: Tensor) -> Tensor | None:
        """A product of two activations (…, n, k) and (…, k, m): channels along k go together, others pass through."""
        a, b = self._several(one), self._several(two)
        contracted = [
            x is not None and labels_along(x, d, batch=True) is not None for x, d in ((a, -1), (b, -2))
        ]
        if any(contracted) and a is not None and b is not None and all(contracted):
            # Σ over k: a channel of one operand meets the same channel of the other, and leaves no trace in the sum.
            self.links.tie(constant(a).squeeze(-2), constant(b).squeeze(-1))
            return None
        # Weights of attention (…, n, k), which know no channels, times values (…, k, m): channels along m pass.
        if a is None and b is not None and labels_along(b, -1, batch=True) is not None:
            return constant(b)
        if b is None and a is not None and labels_along(a, -2, batch=True) is not None:
            return constant(a)
        for labels in (a, b):
            if labels is not None:
                self.links.fix(constant(labels))
        return None

    def _several(self, tensor: Tensor) -> Tensor | None:
        """The labels of an operand; none where one channel is all there is, which then has to stay."""
        labels = self.labels_of(tensor)
        if labels is None or constant(labels).numel() > 1:
            return labels
        self.links.fix(constant(labels))
        return None

    def _attention(self, parts: list[Any], output: Any) -> None:
        """Fused attention on (…, tokens, head channels): queries go with keys, values pass through."""
        query, key, value = (self.labels_of(part) for part in parts)
        if query is None or key is None or value is None:
            self._fix_all(parts)
            self._put(output, None)
            return
        self.links.tie(constant(query), constant(key))
        self._put(output, constant(value))

    def _norm(self, images: Tensor, weights: list[Tensor], dim: int, output: Any) -> None:
        labels = self._vector(images, dim)
        for weight in weights:
            numbers = self.labels_of(weight)
            if numbers is not None and numbers.shape == labels.shape:
                self.links.tie(numbers, labels)
            elif numbers is not None:
                self._fix_all([weight, images])
        self._put(output, broadcast(labels, dim, images.shape))

    def _move(self, func: Any, args: list[Any], output: Tensor) -> None:
        if self._memory.find(output) is not None:
            return  # a view of a weight, which is known by its memory
        labels = self.labels_of(args[0])
        if labels is None:
            self._put(output, None)
            return
        if "view" in func._schema.name or "reshape" in func._schema.name:
            # Not func: labels are expanded (stride 0), which a view of other strides refuses; reshape copies.
            moved = compress(labels.reshape(output.shape))
            for one, two in linked_by_view(labels.shape, moved):
                self.links.tie(one, two)
        else:
            moved = compress(func(labels, *(_on_cpu(a) for a in args[1:])))
        self._put(output, moved)

    def _parts(self, func: Any, args: list[Any], outputs: Sequence[Tensor]) -> None:
        """Parts of equal size lose the same channels: their number is mostly computed from the size."""
        labels = self.labels_of(args[0]) if self._memory.find(args[0]) is None else None
        if labels is None:
            return
        parts = [compress(part) for part in func(labels, *args[1:])]
        # Where all parts have the same labels, tokens or pixels were split and not channels: nothing to tie.
        varied = any(
            not torch.equal(constant(p), constant(parts[0])) for p in parts if p.shape == parts[0].shape
        )
        for part, output in zip(parts, outputs, strict=True):
            if part.shape != parts[0].shape:
                self.links.fix(constant(labels))
            elif varied:
                self.links.tie(constant(part), constant(parts[0]))
            self._labels[output] = part

    def _concatenate(self, args: list[Any], output: Tensor) -> None:
        pieces = [piece for piece in args[0] if piece.numel()]
        dim = (args[1] if len(args) > 1 else 0) % output.ndim
        labels = [self.labels_of(piece) for piece in pieces]
        if all(label is None for label in labels):
            return
        shapes = [piece.shape for piece in pieces]
        joint, ties = concat(labels, shapes, dim)
        for one, two in ties:
            self.links.tie(one, two)
        self._put(output, joint)

    def _reduce(self, tensor: Tensor, dims: Any, output: Tensor) -> None:
        labels = self.labels_of(tensor)
        if labels is None:
            self._put(output, None)
            return
        dims = {d % tensor.ndim for d in ([dims] if isinstance(dims, int) else dims)}
        small = constant(labels)
        # Over channels the result is one number for all of them (a norm, a mean of everything): it ties nothing, and
        # whether it changes with fewer channels is for the probe to see. Over pixels the labels stay.
        if not dims or any(small.shape[d] > 1 for d in dims):
            self.links.mix(small)
            self._put(output, torch.tensor(FREE))
        elif output.ndim == tensor.ndim:
            self._put(output, small)
        else:
            self._put(output, small.reshape([n for d, n in enumerate(small.shape) if d not in dims]))

    def _pointwise(self, args: list[Any], output: Any) -> None:
        """Every operation that is not known by name: element by element, or one that keeps the channels."""
        tensors = [a for a in args if isinstance(a, Tensor)]
        known = [(t, labels) for t in tensors if (labels := self.labels_of(t)) is not None]
        if not known:
            return
        for one in tensors_in(output):  # all of them: the indices of a pooling have its channels too
            if one.shape == _broadcast(tensors):
                self._put(one, self._combined(tensors))
            # Pooling, upsampling, padding of pixels: (N, C, H, W) → (N, C, H′, W′) leaves the channels as they are.
            elif len(known) == 1 and keeps(small := constant(known[0][1]), one.shape):
                self._put(one, small)
            else:
                self._fix_all(tensors)
                self._put(one, None)

    def _combined(self, tensors: list[Tensor]) -> Tensor | None:
        """The labels of an elementwise result; the operands' go together where both have some."""
        labelled = [(t.shape, constant(labels)) for t in tensors if (labels := self.labels_of(t)) is not None]
        # One number for all channels (a gate) does not go with any of them.
        labelled.sort(key=lambda item: (bool((item[1] != FREE).any()), item[0].numel()), reverse=True)
        whole, result = labelled[0]
        for shape, small in labelled[1:]:
            if spread(shape, result.shape) or bool((small == FREE).all()):
                continue
            self.links.tie(result, small)
            if small.numel() < result.numel() and not spread(shape, whole):
                result = small  # the other's labels vary along more, all tied to these
        # An operand without labels that has a size of its own along the channels (a constant for each of them, which
        # is no parameter) would not shrink with them.
        for tensor in tensors:
            if self.labels_of(tensor) is None and meets(tensor.shape, result.shape):
                self.links.fix(result)
                return None
        return result

    def _fix_all(self, tensors: Sequence[Any]) -> None:
        for tensor in tensors:
            if (labels := self.labels_of(tensor)) is not None:
                self.links.fix(constant(labels))


def _name(func: Any) -> str:
    """The operation's plain name; that of an in-place one without its underscore."""
    name: str = func._schema.name.removeprefix("aten::")
    return name.removesuffix("_")


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.cpu()
    return [_on_cpu(v) for v in value] if isinstance(value, list) else value


def _broadcast(tensors: list[Tensor]) -> torch.Size | None:
    try:
        return torch.Size(torch.broadcast_shapes(*(t.shape for t in tensors)))  # type: ignore[no-untyped-call]
    except RuntimeError:
        return None
