"""Steps that do not go with the data's task are told before anything is trained."""

import pytest

from engine.errors import PresetInvalid
from engine.presets import spec

BOXES = "model: {name: yolo/yolov8n}\ndata: {name: digits-detection}\n"
CLASSES = "model: {name: resnet20}\ndata: {name: digits}\n"


@pytest.mark.parametrize(
    ("head", "step", "said"),
    [
        (BOXES, "quantize.qat", "steps[1].quantize.qat given for data with boxes"),
        (BOXES, "prune.blocks", "steps[1].prune.blocks given for data with boxes"),
        (BOXES, "quantize.dynamic", "steps[1].quantize.dynamic.convolutions changes linear layers alone"),
        (
            BOXES,
            "finetune: {label_smoothing: 0.1}",
            "steps[1].finetune.label_smoothing given for data with boxes",
        ),
        (CLASSES, "finetune: {mosaic: {}}", "steps[1].finetune.mosaic given for data without boxes"),
        (
            CLASSES,
            "distill: {teacher: {kind: model, name: resnet20, train: {mosaic: {}}}}",
            "steps[1].distill.teacher.train.mosaic given for data without boxes",
        ),
    ],
)
def test_what_does_not_go_with_the_data_is_refused(head: str, step: str, said: str) -> None:
    with pytest.raises(PresetInvalid) as caught:
        spec.parse(f"{head}steps:\n  - train\n  - {step}\n", "p", ())
    [problem] = caught.value.problems
    assert f"{problem.path} {problem.given}".startswith(said)


@pytest.mark.parametrize(
    "step",
    [
        "quantize.static: {mixed: {}, faster: true}",
        "quantize.dynamic: {convolutions: true}",
        "quantize.qat: {enabled: false}",
    ],
)
def test_what_goes_with_boxes_is_taken(step: str) -> None:
    text = f"{BOXES}steps:\n  - train: {{mosaic: {{}}, ema: {{}}}}\n  - {step}\n"
    assert spec.parse(text, "p", ()).trials
