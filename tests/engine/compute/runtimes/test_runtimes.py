"""Every runtime computes what the model does, and an export that does not is never used."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.compute.layers.masks import set_mask
from engine.compute.models import checkpoint
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.onnx import export as exporting
from engine.compute.onnx.export import export, structure
from engine.compute.onnx.shape import example
from engine.compute.runtimes.base import artefact, session
from engine.errors import SecateurError
from tests.engine.compute.compute_help import output

SHAPE = (3, 16, 16)
RUNTIMES = ("torch", "onnxruntime", "openvino")
"""Those that open a network at once; the compiled one is tried in `test_compiled.py`."""


def network(seed: int = 0, name: str = "resnet8") -> nn.Module:
    """A masked network whose BatchNorm has statistics."""
    torch.manual_seed(seed)
    model = build(Architecture(name, 3, 10, SHAPE[1:]))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
        if isinstance(module, nn.Conv2d):
            set_mask(module, torch.rand_like(module.weight) < 0.5)
    return model


def small(scale: float = 1.0) -> nn.Module:
    return Scaled(scale)


class Scaled(nn.Module):
    """Two of these with another `scale` look the same from outside and compute something else."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)).mean((2, 3)) * self.scale


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_session_computes_what_the_model_does_at_any_batch_size(runtime, tmp_path, capfd):
    model = network()
    checkpoint.save(model, tmp_path)
    capfd.readouterr()
    path = artefact(runtime, model, SHAPE, tmp_path)
    opened = session(runtime, path, batch=2, shape=SHAPE, threads=torch.get_num_threads())
    assert opened() is None
    for batch in (1, 5):
        images = torch.rand(batch, *SHAPE)
        torch.testing.assert_close(opened.run(images), output(model, images), rtol=1e-3, atol=1e-4)
    assert capfd.readouterr() == ("", ""), "exporting or running printed something"


def test_exporting_leaves_the_model_as_it_was(tmp_path):
    model = network().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export(model, SHAPE, tmp_path / "model.onnx")
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def exported(model: nn.Module, path: Path, templates: Path) -> Tensor:
    """The output of the model's ONNX file."""
    export(model, SHAPE, path, templates=templates)
    images = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(5))
    given = session("onnxruntime", path, batch=1, shape=SHAPE, threads=1).run(images)
    torch.testing.assert_close(given, output(model, images), rtol=1e-3, atol=1e-4)
    return given


def test_models_of_one_structure_share_a_template_and_keep_their_own_weights(tmp_path):
    templates = tmp_path / "templates"
    torch.manual_seed(0)
    first = exported(small(), tmp_path / "a.onnx", templates)
    (kept,) = templates.iterdir()
    written = kept.stat().st_mtime_ns
    second = exported(small(), tmp_path / "b.onnx", templates)
    assert not torch.allclose(first, second)
    assert [file.stat().st_mtime_ns for file in templates.iterdir()] == [written]
    assert kept.stat().st_size < 20_000


def test_where_no_template_can_be_kept_or_read_a_model_is_exported_all_the_same(tmp_path):
    (tmp_path / "shut").write_text("a folder that can't be made")
    exported(small(), tmp_path / "a.onnx", tmp_path / "shut" / "templates")


def test_a_template_that_computes_something_else_is_replaced(tmp_path):
    templates = tmp_path / "templates"
    exported(small(1.0), tmp_path / "a.onnx", templates)
    assert structure(small(1.0), SHAPE) == structure(small(3.0), SHAPE)
    exported(small(3.0), tmp_path / "b.onnx", templates)


def test_a_damaged_template_is_made_again(tmp_path):
    templates = tmp_path / "templates"
    exported(small(), tmp_path / "a.onnx", templates)
    (kept,) = templates.iterdir()
    good = kept.read_bytes()
    flipped = good[:-1] + bytes([good[-1] ^ 1])
    for bad in (b"", b"no template", good[: len(good) // 2], flipped):
        kept.write_bytes(bad)
        assert exporting._read(kept) is None
    exported(small(), tmp_path / "b.onnx", templates)
    assert kept.read_bytes() == good


def test_the_exporter_reads_its_operators_once_in_a_process():
    """Else each export parses them again; with the name that the exporter calls, as the exporter calls it."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    exporting.keep_operators()
    version = ONNXRegistry().opset_version
    once = [ONNXRegistry().from_torchlib(opset_version=version) for _ in range(2)]
    assert once[0] is once[1] and len(once[0].functions) > 100


def test_an_export_lists_torchs_operators_once(monkeypatch, tmp_path):
    """By the name that torch calls; and the next one lists them anew."""
    from torch._export import utils

    listed, theirs = [], utils._materialize_cpp_cia_ops
    monkeypatch.setattr(utils, "_materialize_cpp_cia_ops", lambda: listed.append(theirs()))
    for exports in (1, 2):
        export(small(), SHAPE, tmp_path / "model.onnx")
        assert len(listed) == exports


def test_another_structure_or_image_size_has_another_template():
    narrow, wide = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 5, 3)
    strided = nn.Conv2d(3, 4, 3, stride=2)
    hashes = {structure(narrow, SHAPE), structure(wide, SHAPE), structure(strided, SHAPE)}
    assert len(hashes | {structure(narrow, (3, 32, 32))}) == 4


def test_an_exported_file_tells_nothing_about_this_machine(tmp_path):
    export(small(), SHAPE, tmp_path / "model.onnx")
    content = (tmp_path / "model.onnx").read_bytes()
    assert b"site-packages" not in content and str(Path(__file__).parent).encode() not in content
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_a_model_that_diverged_is_exported_all_the_same(tmp_path):
    model = small()
    with torch.no_grad():
        model.conv.weight[0, 0, 0, 0] = torch.nan
    export(model, SHAPE, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").exists()


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3)) if float(x.sum()) > 0 else x.sum((1, 2, 3))


class Chaotic(nn.Module):
    """Doubles its rounding errors over and over: no two programs give the same."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean((2, 3))
        for _ in range(40):
            x = torch.sin(3 * x)
        return x


def test_a_network_that_amplifies_rounding_is_exported_all_the_same(tmp_path):
    model, images = Chaotic().eval(), example(3, SHAPE)
    exact = output(Chaotic().double(), images.double())
    assert (output(model, images) - exact).abs().max() > 1e-2  # so much is rounding
    file = export(model, SHAPE, tmp_path / "model.onnx")
    assert session("onnxruntime", file, batch=1, shape=SHAPE, threads=1).run(images).isfinite().all()


def test_a_model_that_cannot_be_exported_is_a_clear_error(tmp_path, capfd):
    with pytest.raises(SecateurError, match="cannot be exported to ONNX") as caught:
        export(Branching(), SHAPE, tmp_path / "model.onnx")
    assert "Traceback" not in str(caught.value) and len(caught.value.detail) < 600
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_no_file_can_hold_is_a_clear_error(tmp_path):
    model = small()
    model.register_buffer("table", torch.zeros(1).expand(2**29))  # counts as 2 GiB, and takes none
    with pytest.raises(SecateurError, match="too large for an ONNX file") as caught:
        export(model, SHAPE, tmp_path / "model.onnx")
    assert "2.1 GB" in caught.value.detail
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_model_is_a_clear_error(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(SecateurError, match="ONNX Runtime does not take the model"):
        session("onnxruntime", tmp_path / "model.onnx", batch=1, shape=SHAPE, threads=1)


def test_the_fixed_input_is_the_same_every_time():
    assert torch.equal(example(3, SHAPE), example(3, SHAPE))
    assert example(3, SHAPE).shape == (3, *SHAPE)
