"""The card beside an exported model: what it is, how good it is, where it comes from, how to use it."""

from importlib import metadata
from typing import Any

from engine.compute.data import Dataset
from engine.compute.data.statistics import BYTE
from engine.compute.export.formats import Written
from engine.compute.export.image_files import resizing
from engine.compute.export.loader import LOADERS, OUTPUTS, stored_as
from engine.compute.export.verify import Check
from engine.measures import table
from engine.results.exports import Format
from engine.text import numbers
from engine.text.visible import json_text

INPUT = (
    "Input: {channels} channel(s) of {height}×{width} pixels (height × width), {pixels}, less the mean {mean} "
    "and over the deviation {std} of each channel. Images from files are turned upright and {resizing}. "
    "Output: {output}."
)
USE = """```python
from load import CLASSES, load, preprocess   # load.py of this folder needs {needs} alone

model = load()                               # {options}
outputs = model(preprocess(images))          # images: {kind} {arrays} (N, {channels}, {height}, {width}), any N
```

Checked with {versions}."""
LANES = """

Convolutions of few channels compute 2 × 2 pixels at once in this file, for processors that compute {lanes} channels at
once (16: AVX-512, 8: AVX2). It gives the same on others, but may not be the fastest form there."""


def card(
    about: dict[str, Any], form: Format, data: Dataset, check: Check, written: Written
) -> dict[str, Any]:
    """The card as plain JSON, without the files' hashes."""
    height, width = data.size
    return about | {
        "format": form,
        "needs": {name: metadata.version(name) for name in written.needs},
        "trainable": written.trainable,
        "lanes": written.lanes,
        "data": data.name,
        "task": data.task,
        "classes": list(data.class_names),
        "input": {
            "channels": data.channels,
            "height": height,
            "width": width,
            "type": stored_as(data),
            "pixels": _pixels(data),
            "black": data.black,
            "white": data.white,
            "mean": data.mean.tolist(),
            "std": data.std.tolist(),
            "resizing": resizing(data),
            "resize": data.fit.resize,
            "interpolation": "bilinear" if data.task == "detection" else data.fit.interpolation,
        },
        "output": OUTPUTS[data.task].format(classes=data.classes),
        "check": check.as_dict(),
    }


def _pixels(data: Dataset) -> str:
    if (data.black, data.white) == BYTE:
        return "0 (black) to 255, divided by 255"
    return f"{data.black:g} (black) to {data.white:g} (white), brought to 0 to 1"


def markdown(card: dict[str, Any]) -> str:
    """The same for people."""
    given = card["input"]
    parts = [
        f"# Trial {card['trial']} of {_plain(card['study'])}",
        _origin(card),
        "## How to use it",
        _use(card),
        INPUT.format(**given, output=card["output"]),
        f"Classes, in the order of the outputs:\n\n```json\n{_json(card['classes'], None)}\n```",
        "## Results",
        _results(card),
        "## Check",
        _check(card["check"]),
        "## Environment",
        f"```json\n{_json(card['environment'])}\n```",
        "## Files (SHA-256)",
        "\n".join(f"- `{name}` {digest}" for name, digest in card["files"].items()),
        "",
    ]
    return "\n\n".join(parts)


def _use(card: dict[str, Any]) -> str:
    loader = LOADERS[card["format"]]
    use = USE.format(
        **card["input"],
        kind=card["input"]["type"],
        needs=" and ".join(loader.needs),
        options=loader.options,
        arrays="tensor" if loader.by_torch else "array",
        versions=", ".join(f"{name} {version}" for name, version in card["needs"].items()),
    )
    return use + (LANES.format(lanes=card["lanes"]) if card["lanes"] else "")


def _origin(card: dict[str, Any]) -> str:
    values = f"\n\n```json\n{_json(card['parameters'])}\n```" if card["parameters"] else ""
    steps = " → ".join(f"`{_plain(step)}`" for step in card["steps"])
    return (
        f"Made by secateur {card['secateur']} from the preset in `preset.yaml`: {steps}, on the data "
        f"`{_plain(card['data'])}`.{' This trial took:' if values else ''}{values}"
    )


def _results(card: dict[str, Any]) -> str:
    lines = ["| measure | this model | baseline |", "|---|---:|---:|"]
    for name, values in card["results"].items():
        cells = (table.measure_text(name, values["model"]), table.measure_text(name, values["baseline"]))
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
    remarks = [f"\n**{_plain(remark['text'])}.**" for remark in card.get("remarks", [])]
    return "\n".join([*lines, *remarks])


def _check(check: dict[str, Any]) -> str:
    compared = (
        "are equal, bit for bit, to those of the trial's model"
        if check["deviation"] == 0
        else f"differ from those of the trial's model by up to {check['deviation']:.1e} of the largest (tolerated: "
        f"{check['tolerance']:.1e})"
    )
    text = (
        f"After writing, the model was run in a process of its own on {check['images']} test images: its outputs "
        f"{compared}."
    )
    if check["accuracy"] is not None:
        accuracies = [numbers.percent(check[name]) for name in ("accuracy", "accuracy_of_trial")]
        text += (
            f" {numbers.percent(check['agreement'])} of the images get the same class. Accuracy on them: "
            f"{accuracies[0]}, of the trial's model {accuracies[1]}."
        )
    return text


def _plain(text: str) -> str:
    """Text that stays within its place in Markdown."""
    return "".join(
        character for character in str(text) if character.isprintable() and character not in "`|<>[]*"
    )


def _json(value: Any, indent: int | None = 1) -> str:
    """JSON that cannot end the block it stands in."""
    return json_text(value, indent).replace("`", "\\u0060")
