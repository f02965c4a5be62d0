"""YOLO networks: judged as their field judges them, taken apart, pruned, stored and exported without loss."""

import copy
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.compute.data import Dataset
from engine.compute.layers.masks import mask_of
from engine.compute.measures.counts import count
from engine.compute.models import checkpoint, edits
from engine.compute.pretrained.create import create
from engine.compute.runtimes.base import artefact
from engine.compute.steps.channels.prepare import prepare_for_channels
from engine.compute.steps.channels.step import prune_channels
from engine.compute.steps.channels.yolo import protected_layers
from engine.compute.steps.factorization.step import factorize
from engine.compute.steps.pruning.step import prune_weights
from engine.compute.tasks import task_of
from engine.compute.tasks.evaluate import score
from engine.compute.training.loop import fit
from engine.compute.yolo import library
from engine.errors import SecateurError
from engine.params import Factorize, Finetune, PruneChannels, PruneWeights, Train
from engine.params.preset import Model
from engine.params.training import Ema, Mosaic
from engine.studies import events as ev
from tests import lone
from tests.engine.compute.compute_help import context_for
from tests.engine.compute.yolo.yolo_help import CPU, SIZE, images, output, yolo

if importlib.util.find_spec("ultralytics") is None:  # not imported here: `library` does that, offline
    pytest.skip("the extra `yolo` is not installed", allow_module_level=True)
tp = pytest.importorskip("torch_pruning")

TRUE = [torch.tensor([[3.0, 10, 10, 30, 40], [5.0, 40, 40, 60, 60]]), torch.tensor([[3.0, 0, 0, 20, 20]])]


def found_at(shift: float) -> list[torch.Tensor]:
    """Confident detections of everything in TRUE, moved by `shift` pixels."""
    return [torch.cat([t[:, 1:] + shift, torch.full((len(t), 1), 0.9), t[:, :1]], 1) for t in TRUE]


def test_perfect_boxes_have_a_map_of_1_and_moved_ones_less() -> None:
    assert library().average_precision(found_at(0), TRUE) == pytest.approx((0.995, 0.995), abs=1e-3)
    map50, map50_95 = library().average_precision(found_at(3), TRUE)
    assert map50 > map50_95 > 0 and map50_95 < 0.7
    assert library().average_precision(found_at(30), TRUE)[0] < 0.1


def test_matching_is_ultralytics_own() -> None:
    from types import SimpleNamespace

    from ultralytics.engine.validator import BaseValidator
    from ultralytics.utils.metrics import box_iou

    random = torch.Generator().manual_seed(0)
    true = torch.cat([torch.randint(3, (12, 1), generator=random).float(), _boxes(12, random)], 1)
    found = torch.cat(
        [
            true[:, 1:].repeat(3, 1) + torch.randn(36, 4, generator=random) * 2,
            torch.rand(36, 1, generator=random).sort(0, descending=True).values,
            true[:, :1].repeat(3, 1),
        ],
        1,
    )
    lib = library()
    theirs = BaseValidator.match_predictions(
        SimpleNamespace(iouv=lib.THRESHOLDS), found[:, 5], true[:, 0], box_iou(true[:, 1:], found[:, :4])
    )
    assert torch.equal(torch.from_numpy(lib._hits(found, true)), theirs)
    assert 0 < int(theirs.sum()) < theirs.numel()


def _boxes(count: int, random: torch.Generator) -> torch.Tensor:
    corner = torch.rand(count, 2, generator=random) * 40
    return torch.cat([corner, corner + 10 + torch.rand(count, 2, generator=random) * 20], 1)


def test_nothing_found_and_nothing_there_is_no_error() -> None:
    nothing = [torch.zeros(0, 6)] * 2
    assert library().average_precision(nothing, TRUE) == (0.0, 0.0)
    assert library().average_precision(nothing, [torch.zeros(0, 5)] * 2) == (0.0, 0.0)


@pytest.mark.parametrize("name", ["yolov8n", "yolo11n"])
def test_taken_apart_for_channels_it_computes_the_same_bits_and_reloads(name: str, tmp_path: Path) -> None:
    model = yolo(name)
    before = output(model)
    prepare_for_channels(model)
    assert torch.equal(output(model), before)
    assert sum(edit["edit"] == "split-c2f" for edit in edits.recorded(model)) == 8
    prepare_for_channels(model)
    assert len(edits.recorded(model)) == 8
    checkpoint.save(model, tmp_path)
    assert torch.equal(output(checkpoint.load(tmp_path)), before)


def test_masks_survive_being_taken_apart(tmp_path: Path, canvases: Dataset) -> None:
    model = yolo()
    prune_weights(model, PruneWeights(sparsity=0.5), context_for(data=canvases))
    before, sparsity = output(model), count(model, (1, SIZE, SIZE)).sparsity
    prepare_for_channels(model)
    assert torch.equal(output(model), before)
    assert count(model, (1, SIZE, SIZE)).sparsity == pytest.approx(sparsity, abs=1e-9)
    assert mask_of(model.get_submodule("model.2.cv0.conv")) is not None
    checkpoint.save(model, tmp_path)


@pytest.mark.parametrize("name", ["yolov8n", "yolo11n"])
def test_of_a_chain_the_last_convolution_is_taken_apart_and_the_others_are_computed_once(
    name: str, tmp_path: Path, canvases: Dataset
) -> None:
    """Steps that meet what steps before them put in the place of a block's first convolution: a chain, masks on it."""
    model, context = yolo(name), context_for(data=canvases)
    factorize(model, Factorize(calibrate=False), context)
    prune_weights(model, PruneWeights(sparsity=0.3), context)
    before, macs = output(model.to(memory_format=torch.contiguous_format)), count(model, (1, SIZE, SIZE)).macs
    prepare_for_channels(model)
    assert torch.allclose(output(model), before, rtol=1e-4, atol=1e-4)
    assert count(model, (1, SIZE, SIZE)).macs == macs
    kept = {layer: model.get_submodule(layer).out_channels for layer in protected_layers(model)}
    # Two of the blocks tell: to try out all that hangs together in a detector takes many passes.
    few = PruneChannels(ratio=0.5, repair=False, calibrate=False, skip=("model.[5-9].*", "model.[12]?.*"))
    model = prune_channels(model, few, context)
    assert count(model, (1, SIZE, SIZE)).macs < 0.9 * macs
    assert kept == {layer: model.get_submodule(layer).out_channels for layer in kept}
    model.to(memory_format=torch.contiguous_format)
    checkpoint.save(model, tmp_path)
    assert torch.equal(output(checkpoint.load(tmp_path)), output(model))


@pytest.mark.long
@pytest.mark.parametrize("name", ["yolov8n", "yolo11n"])
def test_pruned_by_channels_it_shrinks_reloads_trains_and_exports(
    name: str, tmp_path: Path, canvases: Dataset
) -> None:
    model = yolo(name)
    macs = count(model, (1, SIZE, SIZE)).macs
    prepare_for_channels(model)
    kept = protected_layers(model)
    widths = {layer: model.get_submodule(layer).out_channels for layer in kept}
    pruner = tp.pruner.BasePruner(
        model,
        images(),
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=0.5,
        ignored_layers=[model.get_submodule(layer) for layer in kept],
    )
    with edits.resized(model):
        pruner.step()
    assert macs / count(model, (1, SIZE, SIZE)).macs > 3
    assert widths == {layer: model.get_submodule(layer).out_channels for layer in kept}
    fit(model, Finetune(epochs=1, learning_rate=1e-3, batch=8, optimizer="adamw"), context_for(data=canvases))
    checkpoint.save(model, tmp_path)
    assert torch.equal(
        output(checkpoint.load(tmp_path)), output(model.to(memory_format=torch.contiguous_format))
    )
    if name == "yolov8n":  # an export takes seconds; the file's output is compared with the model's in it
        assert artefact("onnxruntime", checkpoint.load(tmp_path), (1, SIZE, SIZE), tmp_path).is_file()


def test_training_repeats_bit_for_bit_and_tells_map_not_accuracy(canvases: Dataset) -> None:
    told: list[ev.Event] = []
    params = Train(
        epochs=2,
        learning_rate=2e-3,
        batch=8,
        optimizer="adamw",
        keep="best",
        mosaic=Mosaic(close=0.5),
        ema=Ema(ramp=2),
    )
    fit(yolo(), params, context_for(data=canvases, events=told))
    epochs = [event for event in told if isinstance(event, ev.EpochFinished)]
    assert len({event.loss for event in epochs}) == 2
    assert all(set(e.measures) == {"validation_map50", "validation_map50_95"} for e in epochs)
    again: list[ev.Event] = []
    fit(yolo(), params, context_for(data=canvases, events=again))
    repeated = [event.loss for event in again if isinstance(event, ev.EpochFinished)]
    assert repeated == [event.loss for event in epochs]


def test_a_score_leaves_the_model_as_it_was_and_has_no_accuracy(canvases: Dataset) -> None:
    model = yolo().train()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = score(model, canvases, canvases.test, CPU)
    assert found.measures.keys() == {"map50", "map50_95"} and found.quality == found.measures["map50_95"]
    assert all(module.training for module in model.modules())
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert task_of(canvases).agreement(found.predictions, found.predictions) is None


def test_the_weights_of_an_ultralytics_network_fit_as_they_are() -> None:
    from ultralytics.nn.tasks import DetectionModel

    theirs = DetectionModel("yolov8n.yaml", ch=1, nc=10, verbose=False).eval()
    ours = yolo()
    ours.load_state_dict(theirs.state_dict())
    with torch.inference_mode():
        expected = theirs(images())[0]
    assert torch.allclose(output(ours), expected, atol=1e-4)


def theirs(classes: int = 10) -> Any:
    """ultralytics' own network with random weights, its outputs far from alike."""
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(classes)
    model = DetectionModel("yolov8n.yaml", ch=1, nc=classes, verbose=False).eval()
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return model


def brought(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    params = Model(name="yolo/yolov8n", weights=str(path))
    return create(params, channels=1, classes=10, size=(64, 64), seed=0, task="detection")


@pytest.mark.parametrize("form", ["best", "last", "prefixed", "layers", "half"])
def test_what_ultralytics_and_others_save_is_the_same_network(form: str, tmp_path: Path) -> None:
    """best.pt and last.pt are pickled networks: their tensors are taken and nothing in them is run."""
    original = theirs()
    state = original.state_dict()
    half = copy.deepcopy(original).half()
    saved = {
        "best": {"epoch": -1, "model": half, "ema": None, "train_args": {"imgsz": 64}},
        "last": {"epoch": 3, "model": None, "ema": half, "optimizer": {"state": {}}},
        "prefixed": {f"module.{name}": tensor for name, tensor in state.items()},
        "layers": {name.removeprefix("model."): tensor for name, tensor in state.items()},
        "half": {name: t.half() if t.is_floating_point() else t for name, t in state.items()},
    }[form]
    torch.save(saved, tmp_path / "w.pt")
    model, facts = brought(tmp_path / "w.pt")
    if form in ("best", "last", "half"):
        original = half.float()
    with torch.inference_mode():
        assert torch.allclose(output(model.eval()), original(images())[0], atol=1e-3)
    assert not facts["new_head"]


def test_a_detector_for_other_classes_keeps_all_but_what_tells_them_apart(tmp_path: Path) -> None:
    state = theirs(80).state_dict()
    torch.save(state, tmp_path / "coco.pt")
    model, facts = brought(tmp_path / "coco.pt")
    own = model.state_dict()
    random = {name for name, tensor in own.items() if not torch.equal(tensor, state[name])}
    assert facts["new_head"] and random and all(".cv3." in name for name in random)
    assert any("for 80 classes" in text for _, text in facts["notices"])


def test_weights_of_another_detector_are_refused(tmp_path: Path) -> None:
    from ultralytics.nn.tasks import DetectionModel

    torch.save(DetectionModel("yolov8s.yaml", ch=1, nc=10, verbose=False).state_dict(), tmp_path / "s.pt")
    with pytest.raises(SecateurError, match="do not fit the model") as caught:
        brought(tmp_path / "s.pt")
    assert "this is yolo/yolov8n" in caught.value.remedy


def test_a_classifier_and_boxes_do_not_go_together() -> None:
    with pytest.raises(SecateurError, match="not for this data"):
        create(Model(name="resnet20"), channels=1, classes=10, size=(64, 64), seed=0, task="detection")
    with pytest.raises(SecateurError, match="not for this data"):
        create(Model(name="yolo/yolov8n"), channels=1, classes=10, size=(64, 64), seed=0)


def test_images_must_be_multiples_of_the_coarsest_stride() -> None:
    with pytest.raises(SecateurError) as caught:
        create(Model(name="yolo/yolov8n"), channels=1, classes=10, size=(90, 90), seed=0, task="detection")
    assert "data.size, to 96" in caught.value.remedy


IMPORTED = """
import os, socket
os.environ |= {"HOME": sys.argv[1], "XDG_CONFIG_HOME": ""}
def refused(*given, **named):
    raise AssertionError(f"a look at the network: {given}")
socket.getaddrinfo = socket.create_connection = refused
socket.socket.connect = refused
before = dict(os.environ)
import torch
from PIL import Image
replaced = torch.save, Image.open
from engine.compute.yolo import library
library().network("yolov8n", 1, 10)
assert (torch.save, Image.open) == replaced and dict(os.environ) == before
"""


def test_it_needs_no_network_and_leaves_nothing_in_the_home(tmp_path: Path) -> None:
    (home := tmp_path / "home").mkdir()
    done = lone.ours(IMPORTED, tmp_path, str(home))
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert [path for path in home.rglob("*") if "ltralytics" in path.name] == []


FRESH = """
import torch
from pathlib import Path
from engine.compute.models import checkpoint
from engine.compute.context import to_device
model = to_device(checkpoint.load(Path(sys.argv[1])), torch.device("cpu"))
model(torch.zeros(1, 1, 64, 64))
"""


def test_a_checkpoint_is_of_use_in_a_fresh_process(tmp_path: Path) -> None:
    (saved := tmp_path / "saved").mkdir()
    checkpoint.save(yolo(), saved)
    done = lone.ours(FRESH, tmp_path, str(saved))
    assert done.returncode == 0, done.stderr


MISSING = """
sys.modules["ultralytics"] = None
from engine.compute.yolo import library
from engine.errors import SecateurError
try:
    library()
except SecateurError as error:
    print(error.remedy)
"""


def test_without_ultralytics_one_sentence_says_how_to_get_it(tmp_path: Path) -> None:
    done = lone.ours(MISSING, tmp_path)
    assert done.stdout.startswith("pip install 'secateur[yolo]'")
