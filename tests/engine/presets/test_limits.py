"""Limits in words: what is taken, and that everything else is refused in one sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.presets.limits import AMOUNTS, UNITS, Limit, parse
from engine.presets.steps import Unknown


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("accuracy", "-1 point", Limit("accuracy", "loss", 0.01)),
        ("accuracy", -0.5, Limit("accuracy", "loss", 0.005)),
        ("map50_95", "−2 points", Limit("map50_95", "loss", 0.02)),
        ("accuracy", 0, Limit("accuracy", "loss", 0.0)),
        ("size.packed", "500 kB", Limit("size.packed", "most", 500_000)),
        ("size.plain", "1.5MiB", Limit("size.plain", "most", 1.5 * 2**20)),
        ("macs", "20 M", Limit("macs", "most", 20e6)),
        ("macs", "40 %", Limit("macs", "share", 0.4)),
        ("latency.onnxruntime.1", "800 µs", Limit("latency.onnxruntime.1", "most", 0.8)),
        ("parameters", 100_000, Limit("parameters", "most", 100_000)),
    ],
)
def test_what_is_said_is_what_is_meant(name: str, value: object, wanted: Limit) -> None:
    found = parse(name, value)
    assert (found.measure, found.kind) == (wanted.measure, wanted.kind)
    assert found.value == pytest.approx(wanted.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy", "1 point"),
        ("accuracy", "-101 points"),
        ("accuracy", True),
        ("accuracy", "a little"),
        ("size.packed", "0 kB"),
        ("size.packed", "500 ms"),
        ("size.packed", "120 %"),
        ("size.packed", None),
        ("size.packed", ["1 kB"]),
        ("size", "1 kB"),
        ("loss", "1"),
        ("speedup.torch.1", "2"),
    ],
)
def test_what_can_be_no_limit_is_refused_with_what_is_allowed(name: str, value: object) -> None:
    with pytest.raises(Unknown) as caught:
        parse(name, value)
    assert all(caught.value.parts[:2])


@given(
    st.sampled_from(AMOUNTS), st.text(max_size=12) | st.integers() | st.floats() | st.booleans() | st.none()
)
def test_anything_is_a_limit_that_is_more_than_nothing_or_refused(name: str, value: object) -> None:
    try:
        found = parse(name, value)
    except Unknown:
        return
    assert found.value > 0


@given(st.sampled_from(AMOUNTS), st.integers(1, 10**6), st.data())
def test_units_multiply(name: str, amount: int, data: st.DataObject) -> None:
    from engine.measures.table import measure

    units = UNITS[measure(name).kind]
    unit = data.draw(st.sampled_from(sorted(units)))
    assert parse(name, f"{amount} {unit}").value == pytest.approx(amount * units[unit])
