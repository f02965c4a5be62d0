"""What each value of a choice means, in a line: for the lists that a form opens, and for the documentation.

A choice among classes (`schedule`, `method`, …) has its lines in their docstrings.
"""

from typing import Any

from engine.params.runtimes import INT8_RUNTIMES, KIND

_SCOPE = {
    "auto": "cost where the criterion is output, else global",
    "local": "each layer for itself: all give the same share",
    "global": "over the whole network: layers that matter less give more",
    "isomorphic": "among layers of the same structure",
    "cost": "over the whole network, by importance per unit of cost saved",
    "sensitivity": "each layer at the rate that an earlier `sensitivity` step found",
    "solved": "layers at rates at which outputs deviate least in sum, by what an earlier `sensitivity` step measured",
}
_RUNTIME = {str(name): kind.about for name, kind in KIND.items()}
_SWITCH = {"auto": "where it is found to help", "on": "always", "off": "never"}

MEANINGS: dict[str, dict[str, str]] = {
    "version": {"1": "the only version there is"},
    "device": {"auto": "a CUDA GPU if there is one", "cpu": "the processor", "cuda": "a CUDA GPU"},
    "interpolation": {
        "nearest": "the nearest pixel: fast, jagged",
        "bilinear": "linear between pixels",
        "bicubic": "cubic between pixels: a little sharper",
    },
    "runtimes": _RUNTIME,
    "runtime": _RUNTIME,
    "faster_in": {name: _RUNTIME[name] for name in INT8_RUNTIMES},
    "precision": {
        "fp32": "32 bits: the numbers repeat everywhere",
        "tf32": "fp32 that multiplies with 10 bits of the mantissa: faster on newer GPUs",
        "bf16": "16 bits with fp32's range: faster where the processor has it",
        "fp16": "16 bits: faster on GPUs",
    },
    "schedule": {
        "onecycle": "rises for 30 % of the training, then falls to 0: for training from scratch",
        "cosine": "falls along half a cosine: for going on from trained weights",
        "step": "falls to a tenth at half and at three quarters of the training",
        "constant": "stays as it is",
    },
    "optimizer": {
        "sgd": "gradient descent with Nesterov momentum: best for convolutional networks",
        "adam": "a step size for each weight (Kingma & Ba 2015)",
        "adamw": "Adam with weight decay beside the gradient: for transformers",
    },
    "augment": {
        "none": "images as they are",
        "crop": "shifted by up to an eighth of their size",
        "crop-flip": "shifted, and mirrored half of the time: not for digits or text",
    },
    "keep": {"last": "the weights after the last epoch", "best": "those of the best epoch on validation"},
    "execution": {
        "eager": "operator by operator",
        "graphs": "recorded once and replayed whole, as a CUDA graph",
        "compile": "by kernels that torch.compile builds, with other bits",
    },
    "batch_norm": {
        "sync": "by the whole batch, with an exchange between processes in every layer",
        "process": "by each process's part of the batch, as smaller batches would",
    },
    "scope": _SCOPE,
    "criterion": {
        "auto": "output where a classifier's channels go at once, else l2",
        "l1": "sum of magnitudes: quick, needs no images",
        "l2": "root of the sum of squares: quick, needs no images",
        "bn-scale": "the scale of the BatchNorm behind the channel (Liu 2017)",
        "fpgm": "distance to the layer's other filters: the most replaceable go (He 2019)",
        "lamp": "magnitude against what is left of the layer (Lee 2021)",
        "taylor": "effect on the loss, first order, from gradients on images (Molchanov 2019)",
        "obs": "what the layer's outputs lose while other weights make up for it (Frantar 2022)",
        "hessian": "effect on the loss, second order: slower, from images",
        "output": "what the network's output loses while layers are refitted: from images, without labels",
        "random": "chance: what any criterion has to beat",
    },
    "algorithm": {
        "k-means": "nearest centre, from k-means++ starts",
        "agglomerative": "the nearest pair is merged again and again (Ward): no chance in it",
        "spherical": "by direction, whatever the length: filters of a cluster keep a scale each",
    },
    "weighting": {
        "none": "all weights count alike",
        "input": "input channels of high energy count more",
        "output": "filters whose outputs have high energy count more",
    },
    "per": {"layer": "one codebook for the layer", "channel": "one for each output channel"},
    "start": {
        "linear": "evenly spaced over the range (Deep Compression's choice)",
        "density": "at equal shares of the weights",
        "k-means++": "drawn far from one another",
    },
    "scheme": {
        "spatial": "k×k becomes k×1 and 1×k (Jaderberg 2014)",
        "channel": "k×k of fewer channels, then 1×1 (Zhang 2016)",
        "tucker": "1×1, a smaller k×k, 1×1 (Tucker-2, Kim 2016)",
    },
    "equalize": _SWITCH,
    "bias_correction": _SWITCH,
    "clip": {
        "minmax": "up to the largest weight",
        "mse": "where rounding and clipping together err least",
    },
    "smallest": {
        "size.packed": "bytes of the packed file, which has values of few bits and zeros short",
        "size.plain": "bytes of the weights as they are",
        "parameters": "how many numbers it has",
        "macs": "multiplications for one image",
    },
    "over": {"auto": "what suits the network and the goal"},
    "table": {
        "auto": "one for each of what is taken away: channels, weights, bits, ranks",
        "none": "candidates begin anywhere in the ranges",
    },
    "of": {
        "weights": "single weights become zero",
        "channels": "channels go, with all coupled to them",
        "bits": "weights are rounded to fewer bits",
        "rank": "layers become chains of lower rank",
    },
}
"""By a parameter's last name and value."""


def meaning(path: str, choice: Any) -> str:
    """What a value of the parameter at a dotted path means; empty where nothing is said of it.

    >>> meaning("train.keep", "last")
    'the weights after the last epoch'
    """
    return MEANINGS.get(path.rpartition(".")[2], {}).get(str(choice), "")
