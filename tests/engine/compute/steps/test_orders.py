"""Steps in any order on networks of several kinds: what they make is kept to the bit, or they are refused."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from engine.compute.models import checkpoint
from engine.compute.models.architecture import architecture
from engine.compute.steps.apply import apply
from engine.errors import SecateurError
from engine.params import STEPS
from tests.engine.compute.compute_help import context_for, small_model
from tests.engine.compute.steps.channels import channels_help as networks
from tests.engine.compute.steps.test_pairs import PARAMETERS, params_of

MORE: dict[str, dict[str, object]] = {
    "prune.blocks": {"calibrate": False},
    "calibrate": {"images": 32, "batch": 32},
    "finetune": {"batch": 16, "learning_rate": 1e-3},
}
LAST = "quantize.half"
"""Behind it none follows."""


def test_every_step_that_leaves_a_smaller_network_is_tried_beside_others() -> None:
    tried = {name.partition(" ")[0] for name in (*PARAMETERS, *MORE, LAST)}
    assert {kind for kind, cls in STEPS.items() if cls.compresses and not cls.file} <= tried


orders = st.tuples(
    st.lists(st.sampled_from([*PARAMETERS, *MORE]), min_size=2, max_size=3), st.booleans()
).map(lambda drawn: [*drawn[0], *([LAST] if drawn[1] else [])])


@pytest.mark.long
@pytest.mark.parametrize("maker", [networks.vit, networks.mobile])
@settings(max_examples=3)
@given(order=orders)
def test_any_order_of_steps_is_kept_to_the_bit_or_refused_with_a_way_out(
    maker: Callable[[], nn.Module], order: list[str]
) -> None:
    model, images = networks.own(maker), torch.rand(4, 3, networks.SIZE, networks.SIZE)
    name = architecture(model).name
    for step in order:
        params = params_of(step) if step in PARAMETERS else STEPS[step].model_validate(MORE.get(step, {}))
        try:
            model = apply(params, model, context_for(data=networks.digits()))
        except SecateurError as refused:
            assert refused.title and refused.remedy, order
            return
    model.eval().to(memory_format=torch.contiguous_format)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        checkpoint.save(model, Path(folder))
        expected, again = model(images), checkpoint.load(Path(folder), (name,))(images)
    assert bool(expected.isfinite().all()) and torch.equal(again, expected), order


@pytest.mark.parametrize("kind", [kind for kind, cls in STEPS.items() if cls.compresses])
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(kind: str, value: float) -> None:
    model = small_model()
    with torch.no_grad():
        model.layer1[0].conv2.weight[0, 0, 0, 0] = value  # type: ignore[index, union-attr]
    given = {"pattern": "2:4"} if kind == "prune.weights" else {}
    with pytest.raises(SecateurError, match=r"layer1\.0\.conv2"):
        apply(STEPS[kind].model_validate(given), model, context_for())
