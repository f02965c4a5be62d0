"""What a preset draws, picks by or limits is measured, or refused before anything is trained."""

import pytest

from engine.errors import PresetInvalid
from engine.presets.spec import Spec, candidate, parse

PRESET = """model: {name: resnet8}
data: {name: digits}
steps: [train: {epochs: 1}]
"""
SEARCH = "search: {%s, budget: {trials: 2}, over: [{prune.channels: {speedup: 1..4}}], table: none}\n"


def refused(section: str) -> str:
    with pytest.raises(PresetInvalid) as caught:
        parse(PRESET + section, "p")
    return caught.value.detail


@pytest.mark.parametrize(
    ("section", "path", "reason"),
    [
        ("pick: {by: latency.torch.1}", "pick.by", "no trial measures latency"),
        ("pick: {by: latency.torch.8}\nmeasure: {latency: {}}", "pick.by", "latency.onnxruntime.1"),
        ("pick: {by: speedup.torch.1}\nmeasure: {latency: {}}", "pick.by", "least of"),
        ("pick: {limits: {latency.tensorrt.1: 1 ms}}", "pick.limits.latency.tensorrt.1", "no runtime"),
        ("pick: {limits: {latency.torch.²: 1 ms}}", "pick.limits.latency.torch.²", "no runtime"),
        ("pick: {limits: {size.gzip: 1 kB}}\nmeasure: {size: false}", "pick.limits.size.gzip", "size: true"),
        ("plot: {x: macs, y: speedup.torch.2}\nmeasure: {latency: {}}", "plot.y", "speedup.torch.1"),
        (SEARCH % "smallest: macs, within: {latency.cuda.1: 2 ms}", "latency.cuda.1", "no runtime"),
        (SEARCH % "smallest: macs, within: {latency.torch.0: 2 ms}", "latency.torch.0", "no runtime"),
        (SEARCH % "smallest: macs, within: {latency.torch.1.p90: 2 ms}", "latency.torch.1.p90", "no runtime"),
        (SEARCH % "smallest: macs, within: {latency.torch.1.bf16: 2 ms}", "1.bf16", "latency.torch.1"),
    ],
)
def test_what_no_trial_measures_is_refused(section: str, path: str, reason: str) -> None:
    detail = refused(section)
    assert path in detail
    assert reason in detail


def searched(section: str) -> Spec:
    return parse(PRESET + section, "p")


def test_a_search_measures_what_it_is_about() -> None:
    spec = searched(
        SEARCH % "smallest: size.packed, within: {latency.openvino.4: 2 ms}" + "measure: {size: false}"
    )
    assert spec.space is not None
    for measure in (
        spec.settings.measure,
        candidate(spec, spec.space.middle(), 0).trials[0].settings.measure,
    ):
        assert measure.size
        assert measure.latency is not None
        assert (measure.latency.runtimes[-1], measure.latency.batch[-1]) == ("openvino", 4)


def test_what_a_search_measures_may_be_drawn_and_picked_by() -> None:
    searched(
        SEARCH % "fastest: {runtime: torch}"
        + "pick: {by: latency.torch.1}\nplot: {x: macs, y: latency.torch.1}"
    )
