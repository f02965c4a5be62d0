"""Weights that people bring: read, recognized, loaded, and fitted to the data.

What is found is told to the user and kept in the model's notes: what was guessed, which of several weights were taken,
what was converted or replaced.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor, nn

from engine.compute.layers.masks import masked
from engine.compute.models import edits
from engine.compute.models.adapt import RGB, fit_head, fit_stem
from engine.compute.models.architecture import Architecture, architecture, attached
from engine.compute.models.build import build
from engine.compute.pretrained import detectors, masks, own
from engine.compute.pretrained.convert import compare_answers, flags, take_sizes_
from engine.compute.pretrained.files import refused
from engine.compute.pretrained.guess import BOUND, Match, guess, match, runs
from engine.compute.pretrained.inert import UNREADABLE
from engine.compute.pretrained.parts import readings
from engine.compute.pretrained.shapes import AUXILIARY, narrow_, skeleton
from engine.compute.pretrained.state_dict import load_into, unfit
from engine.compute.pretrained.unwrap import REPLACED, Notices, Variant
from engine.compute.pretrained.weight_files import RECIPE, TENSORS, WeightFile, read
from engine.errors import SecateurError
from engine.machine import private
from engine.params.catalog import DETECTOR, UNSAVED, WEIGHT_FILES, is_built_in, own_code
from engine.params.preset import AUTO, Model
from engine.text.phrases import counted, listed

LONGEST_RECIPE = 64 << 20
"""Bytes of a `model.json`; that of a large pruned network has a few hundred thousand."""
LARGEST_NETWORK, WIDEST_LAYER = 16 << 30, 1 << 20
"""Bytes of a network before it was made smaller, and its widest layer: torchvision has 2.5 GB, and 25 088 inputs."""
LISTED = 4
"""Parts of a file that a sentence names."""
IN_FOLDER = WEIGHT_FILES[1:]
"""Files of weights that other programs put into a folder."""


def bring(params: Model, offered: Architecture) -> tuple[nn.Module, Notices]:
    """The network with the weights of `params.weights`, and what the user should know about them.

    `offered` has the data's channels, classes and image size. The name `auto` has the architecture guessed,
    or read from the checkpoint. Raises SecateurError for a file that can't be read or fits no network.
    """
    path = Path(params.weights)
    folder = path if path.is_dir() else path.parent
    ours = path.is_dir() or (path.name == TENSORS and params.name == AUTO)
    if ours and (folder / RECIPE).is_file() and (folder / TENSORS).is_file():
        model, notices = _from_checkpoint(folder, params.name, offered)
    else:
        model, notices = _from_file(_file(path), params, offered)
    edits.notes(model)["brought"] = {"from": path.name, "told": [text for _, text in notices]}
    return model, notices


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    held = [path / name for name in IN_FOLDER if (path / name).is_file()]
    if held:
        return held[0]
    raise SecateurError(
        f"No weights in the folder {path}",
        f"It has neither {RECIPE} with {TENSORS} nor one of {', '.join(IN_FOLDER)}.",
        "Name the file of weights itself.",
    )


def _from_file(path: Path, params: Model, offered: Architecture) -> tuple[nn.Module, Notices]:
    file = read(path, params)
    if offered.name.startswith(DETECTOR):
        model, notices = detectors.fit(file.state, path, offered)
        return model, [*file.notices, *notices]
    state, pruned = masks.unmasked(file.state)
    file = replace(file, state=state)
    groups = _readings(state, params, path)
    trusted, guessed = file.module is not None, params.name == AUTO
    fresh: tuple[str, ...] = ()
    if own_code(params.name):
        fitted = own.fit(offered, groups, params.new_layers, str(path), trusted)
        fitting, fresh = fitted.match, fitted.fresh
    elif guessed:
        fitting = guess(groups, offered, trusted=trusted)
    else:
        fitting = match(offered, groups, trusted=trusted)
    if not fitting.difference.fits:
        raise _misnamed(str(path), fitting, groups, offered, trusted)
    is_ours = not guessed and not trusted and is_built_in(fitting.arch.name)
    if is_ours and fitting.difference.narrower and not runs(fitting):
        raise _apart(str(path), fitting)
    notices = [*file.notices, *_described(fitting, path.name, guessed)]
    _check_size(fitting.arch, offered)
    fitting = replace(fitting, state=own.made(fitting.arch, fresh, fitting.state))
    model, native = _loaded(fitting, file, path, notices)
    if own_code(params.name):
        model, arch = _as_its_code_builds(model, native, offered, fresh, path.name, notices)
    else:
        arch = _fitted(model, native, offered, path.name, notices)
    edits.recorded(model).clear()
    for edit in edits.changes(edits.sizes(skeleton(arch)), edits.sizes(model)):
        edits.record(model, edit)
    if kept := masks.keep_(model, pruned, fitting.prefix):
        notices.append(("info", f"{path.name} was pruned by torch.nn.utils.prune: {kept} masks are kept"))
    return model, notices


def _readings(state: dict[str, Tensor], params: Model, path: Path) -> list[list[Variant]]:
    groups = readings(state, params.part)
    if not groups:
        begin = listed(tuple(dict.fromkeys(name.partition(".")[0] for name in state)), LISTED)
        raise SecateurError(
            f"Weights {path} have no part {params.part}",
            f"The names of its tensors begin with {begin}.",
            "Correct model.part, or leave it out.",
        )
    return groups


def _apart(source: str, fitting: Match) -> SecateurError:
    """Of weights that are narrower than the network's in a way that no pruning leaves."""
    own = skeleton(fitting.arch).state_dict()
    state = fitting.state
    lines = [
        f"{name} is {tuple(state[name].shape)}, the model has {tuple(own[name].shape)}"
        for name in fitting.difference.narrower
    ]
    error = unfit(source, [*lines, "sizes of layers that follow each other do not go together"])
    return SecateurError(
        error.title, error.detail, "Correct or replace the file; transposed weights turn back."
    )


def _misnamed(
    source: str, nearest: Match, groups: list[list[Variant]], offered: Architecture, trusted: bool
) -> SecateurError:
    """Why the weights do not fit the network that was named, and which they do fit, if any."""
    error = unfit(source, nearest.difference.lines())
    try:
        fits = guess(groups, replace(offered, arguments={}), trusted=trusted).arch
    except SecateurError as other:
        return SecateurError(error.title, error.detail, other.remedy)
    width = f", arguments: {{width: {fits.arguments['width']}}}" if "width" in fits.arguments else ""
    return SecateurError(error.title, error.detail, f"They fit model: {{name: {fits.name}{width}}}.")


def _as_its_code_builds(
    loaded: nn.Module,
    native: Architecture,
    offered: Architecture,
    fresh: tuple[str, ...],
    name: str,
    notices: Notices,
) -> tuple[nn.Module, Architecture]:
    """The user's own network for the data's classes, with the weights but those of the layers `fresh`."""
    if native.classes == offered.classes:
        new, shared = own.new_tensors(loaded, fresh), own.shared(loaded, fresh)
        if new:
            which = ", ".join(sorted(new) if shared else fresh)
            notices.append(("warning", f"{which} of {name} {REPLACED} this data: to be trained"))
        if shared:
            which = ", ".join(f"{one} (which is {other})" for one, other in shared.items())
            notices.append(
                ("warning", f"not new, as layers that model.new_layers leaves out share it: {which}")
            )
        return attached(loaded, native), native
    model = build(offered).eval()
    own.fill(model, loaded, fresh)
    last = (
        f"the last layer of {name} ({', '.join(fresh)}), for {counted(native.classes, 'class', 'classes')},"
    )
    notices.append(("warning", f"{last} {REPLACED} the data's {offered.classes}: it has to be trained"))
    return model, offered


def _described(fitting: Match, name: str, guessed: bool) -> Notices:
    arch = fitting.arch
    notices: Notices = []
    if fitting.prefix:
        notices.append(("info", f"took {fitting.prefix!r} off the names in {name}"))
    if fitting.left_out:
        notices.append(("warning", f"left out of {name}: {listed(fitting.left_out, LISTED)}"))
    if guessed:
        width = f" of width {arch.arguments['width']}" if "width" in arch.arguments else ""
        notices.append(("info", f"{name} was recognized as {arch.name}{width} with {arch.classes} classes"))
    if fitting.by_order:
        text = f"{name} has other names than {arch.name}: its tensors were matched by their order and sizes"
        unseen = "what no tensor shows (padding, epsilon, activations) is torchvision's"
        notices.append(("warning", f"{text}, and {unseen}; see that `base` is as good as the file should be"))
    if fitting.difference.narrower:
        layers = {tensor.rpartition(".")[0] for tensor in fitting.difference.narrower}
        notices.append(
            ("info", f"{name} is pruned: {len(layers)} layers are narrower than those of {arch.name}")
        )
    return notices


def _check_size(native: Architecture, offered: Architecture) -> None:
    if native.name.startswith(BOUND) and native.size != offered.size:
        raise SecateurError(
            f"The weights are for images of {native.size[0]}×{native.size[1]} pixels",
            f"{native.name} is bound to the size it was trained with; the data has "
            f"{offered.size[0]}×{offered.size[1]}.",
            f"Set data.size: {native.size[0]}",
        )


def _loaded(
    fitting: Match, weight_file: WeightFile, path: Path, notices: Notices
) -> tuple[nn.Module, Architecture]:
    """The network, as wide as its weights are, with them; one that was unpickled is compared with the original."""
    arch, original = fitting.arch, None
    if weight_file.module is not None:
        original = weight_file.module.get_submodule(fitting.prefix.rstrip("."))
        arch = replace(arch, arguments=flags(original) | arch.arguments)
    elif arch.name in AUXILIARY and "transform_input" not in arch.arguments:
        notices.append(
            ("warning", "weights do not tell whether model.arguments.transform_input is needed; it is off")
        )
    model = build(arch)
    if original is None:
        narrow_(model, fitting.state)
    else:
        take_sizes_(model, original)
    edits.reshape(model, fitting.state)
    load_into(model, fitting.state, str(path))
    if original is not None:
        notices += compare_answers(model, original, arch, path)
    return model.eval(), arch


def _fitted(
    model: nn.Module, native: Architecture, offered: Architecture, name: str, notices: Notices
) -> Architecture:
    """Fit stem and head to the data, in place; the architecture that the model then has."""
    if native.channels != offered.channels:
        if {native.channels, offered.channels} != {1, RGB}:
            raise SecateurError(
                f"The weights in {name} are for images of {counted(native.channels, 'channel')}",
                f"The data has {offered.channels}.",
                "Set data.channels.",
            )
        fit_stem(model, offered.channels, native.channels)
        text = f"the first layer of {name} was changed from {native.channels} to {offered.channels} channels"
        notices.append(("info", f"{text}; grey images give the same activations"))
    if native.classes != offered.classes:
        fit_head(model, offered.classes)
        text = f"the last layer of {name}, for {counted(native.classes, 'class', 'classes')}, {REPLACED}"
        notices.append(("warning", f"{text} the data's {offered.classes}: it has to be trained"))
    arch = replace(native, channels=offered.channels, classes=offered.classes, size=offered.size)
    attached(model, arch)
    return arch


def _from_checkpoint(folder: Path, name: str, offered: Architecture) -> tuple[nn.Module, Notices]:
    """The model of a checkpoint of ours, its edits and masks included."""
    # Imported here because checkpoints are built with this package.
    from engine.compute.models import checkpoint

    try:
        if (folder / RECIPE).stat().st_size > LONGEST_RECIPE:
            raise ValueError(f"{RECIPE} has more than {LONGEST_RECIPE} bytes")
        recipe: dict[str, Any] = json.loads((folder / RECIPE).read_text("utf-8"))
        built = str(recipe["architecture"]["name"])
        _check_name(built, name, folder)
        if is_built_in(built):
            _check_room(recipe)
        if is_built_in(built) or built == name:
            model = checkpoint.load(folder, [name])
        else:
            model = _load_as(name, recipe, folder)
    except (SafetensorError, *UNREADABLE) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise refused(folder, f"is a damaged checkpoint: {reason[:160]}", "Copy the folder again.") from error
    notices: Notices = [("info", f"{folder.name} is a checkpoint of {built}")]
    native = architecture(model)
    _check_size(native, offered)
    if own_code(native.name):
        return _own_checkpoint(model, native, offered, folder, notices), notices
    _fitted(model, native, offered, folder.name, notices)
    return model, notices


def _check_room(recipe: dict[str, Any]) -> None:
    """Raises ValueError where a network is to be built that no memory holds, before it is."""
    arch = Architecture.from_dict(recipe["architecture"])
    network = skeleton(arch)
    takes = sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))
    if takes > LARGEST_NETWORK:
        raise ValueError(f"its {arch.name} would take {takes} bytes")
    if (most := max(_numbers(recipe["edits"]), default=0)) > WIDEST_LAYER:
        raise ValueError(f"it makes a layer {most} wide")


def _numbers(value: Any) -> Iterator[int | float]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _numbers(part)
    elif isinstance(value, int | float):
        yield value


def _own_checkpoint(
    model: nn.Module, native: Architecture, offered: Architecture, folder: Path, notices: Notices
) -> nn.Module:
    """A checkpoint of the user's own network, for the data's classes; as it was built, so never one that was cut."""
    if (native.channels, native.classes) == (offered.channels, offered.classes):
        attached(model, replace(native, size=offered.size))
        return model
    fresh = own.differing(skeleton(native), skeleton(replace(native, classes=offered.classes)))
    if native.channels != offered.channels or edits.recorded(model) or masked(model) or not fresh:
        is_for = f"{counted(native.channels, 'channel')} and {counted(native.classes, 'class', 'classes')}"
        raise SecateurError(
            f"The checkpoint {folder} is for other data",
            f"It is for {is_for}, the data has {offered.channels} and {offered.classes}; a compressed network of your "
            "own is not rewritten.",
            "Bring the weights from before it was compressed, or data of the same kind.",
        )
    target = replace(native, classes=offered.classes, size=offered.size)
    return _as_its_code_builds(model, native, target, fresh, folder.name, notices)[0]


def _check_name(built: str, name: str, folder: Path) -> None:
    """A checkpoint may not have code run that the preset does not name."""
    own = own_code(built) is not None
    if not own and not is_built_in(built):
        raise SecateurError(
            f"The checkpoint {folder} is of a network that is not known here",
            f"It names {built}, which is neither built in nor a function path/file.py:function.",
            "Nothing of it was run. Ask whoever made it what the network is.",
        )
    if name == AUTO and own:
        raise SecateurError(
            f"The checkpoint {folder} is of a network that is built by your own code",
            f"It names {built}. Code runs only where the preset names it.",
            f"If you trust that file, set model.name: {built}, or to where it is now.",
        )
    if name not in (AUTO, built) and not (own and own_code(name)):
        raise SecateurError(
            f"The checkpoint {folder} is of another network",
            f"It is {built}; model.name says {name}.",
            "Leave model.name out, or correct it.",
        )


def _load_as(name: str, recipe: dict[str, Any], folder: Path) -> nn.Module:
    """The checkpoint with its network built by the function `name`, wherever that was when it was written."""
    from engine.compute.models import checkpoint

    changed = recipe | {"architecture": recipe["architecture"] | {"name": name}}
    with private.scratch() as held:
        (held / RECIPE).write_text(json.dumps(changed))
        for file in (TENSORS, UNSAVED):
            if (folder / file).exists():
                (held / file).symlink_to((folder / file).absolute())
        return checkpoint.load(held, [name])
