"""timm's names for networks that torchvision has too, and that compute the same there from the same tensors.

Only families of which a name is no other network's belong here: timm's EfficientNets are not among them, since those
that pad as TensorFlow does (`tf_…`) have the very same names and sizes as those that don't.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

Rename = str | Callable[[re.Match[str]], str]


@dataclass(frozen=True)
class Family:
    """Networks told by a tensor's name: `rules` rename the others, `shapes` are those of tensors kept otherwise."""

    told_by: str
    rules: tuple[tuple[re.Pattern[str], Rename], ...]
    shapes: tuple[tuple[re.Pattern[str], tuple[int, ...]], ...] = ()


def _rules(*pairs: tuple[str, Rename]) -> tuple[tuple[re.Pattern[str], Rename], ...]:
    return tuple((re.compile(pattern), new) for pattern, new in pairs)


FAMILIES = (
    Family(
        "blocks.0.attn.qkv.weight",
        _rules(
            (r"cls_token", "class_token"),
            (r"pos_embed", "encoder.pos_embedding"),
            (r"patch_embed\.proj\.", "conv_proj."),
            (r"blocks\.(\d+)\.norm1\.", r"encoder.layers.encoder_layer_\1.ln_1."),
            (r"blocks\.(\d+)\.norm2\.", r"encoder.layers.encoder_layer_\1.ln_2."),
            (r"blocks\.(\d+)\.attn\.qkv\.", r"encoder.layers.encoder_layer_\1.self_attention.in_proj_"),
            (r"blocks\.(\d+)\.attn\.proj\.", r"encoder.layers.encoder_layer_\1.self_attention.out_proj."),
            (r"blocks\.(\d+)\.mlp\.fc1\.", r"encoder.layers.encoder_layer_\1.mlp.0."),
            (r"blocks\.(\d+)\.mlp\.fc2\.", r"encoder.layers.encoder_layer_\1.mlp.3."),
            (r"norm\.", "encoder.ln."),
            (r"head\.", "heads.head."),
        ),
    ),
    Family(
        "stages.0.blocks.0.gamma",
        _rules(
            (r"stem\.", "features.0."),
            (r"stages\.(\d+)\.downsample\.", lambda m: f"features.{2 * int(m[1])}."),
            (r"(stages\.\d+\.blocks\.\d+\.)conv_dw\.", r"\1block.0."),
            (r"(stages\.\d+\.blocks\.\d+\.)norm\.", r"\1block.2."),
            (r"(stages\.\d+\.blocks\.\d+\.)mlp\.fc1\.", r"\1block.3."),
            (r"(stages\.\d+\.blocks\.\d+\.)mlp\.fc2\.", r"\1block.5."),
            (r"(stages\.\d+\.blocks\.\d+\.)gamma", r"\1layer_scale"),
            (r"stages\.(\d+)\.blocks\.", lambda m: f"features.{2 * int(m[1]) + 1}."),
            (r"head\.norm\.", "classifier.0."),
            (r"head\.fc\.", "classifier.2."),
        ),
        shapes=((re.compile(r"\.layer_scale$"), (-1, 1, 1)),),
    ),
    Family(
        "pre_logits.fc1.weight",
        _rules(
            (r"pre_logits\.fc1\.", "classifier.0."),
            (r"pre_logits\.fc2\.", "classifier.3."),
            (r"head\.fc\.", "classifier.6."),
        ),
        # Linear layers that timm keeps as convolutions over the whole image: channels, then rows, as when flattened.
        shapes=((re.compile(r"^classifier\.[03]\.weight$"), (4096, -1)),),
    ),
)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """`state` under torchvision's names, in the shapes that tensors have there; None if it has no such names."""
    family = next((one for one in FAMILIES if one.told_by in state), None)
    if family is None:
        return None
    torchvisions = {}
    for name, tensor in state.items():
        for pattern, new in family.rules:
            if pattern.match(name):
                name = pattern.sub(new, name, count=1)
        for pattern, shape in family.shapes:
            if pattern.search(name) and tensor.numel() % max(1, shape[0]) == 0:
                tensor = tensor.reshape(shape)
        torchvisions[name] = tensor
    return torchvisions
