"""The machine as a value: planning asks it, and nothing of the process that plans."""

import json
from dataclasses import replace

import pytest

from engine.errors import SecateurError
from engine.machine import environment
from engine.machine.value import Machine, here
from engine.params.preset import Latency
from engine.params.runtimes import KIND, RUNTIMES
from engine.presets import spec
from engine.studies.plan import data_id, make

PRESET = """
model: {name: resnet20}
data: {name: digits}
steps: [train, prune.weights]
measure: {latency: {runtimes: [torch, openvino]}}
"""


def keys(machine: Machine) -> list[str]:
    read = spec.parse(PRESET, "p")
    return list(make(read, {data_id(trial): "digits" for trial in read.trials}, machine).nodes)


def test_it_goes_through_json_unchanged() -> None:
    machine = here("cpu", 1, 1)
    assert Machine.from_dict(json.loads(json.dumps(machine.as_dict()))) == machine


def test_a_plan_for_another_machine_does_not_depend_on_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = here("cpu", 3, 1)
    before = keys(machine)
    assert before != keys(here("cpu", 1, 1))
    for name in ("packages", "cpu", "describe", "gpus"):
        monkeypatch.setattr(environment, name, lambda: pytest.fail("the planning process was asked"))
    monkeypatch.setattr(environment, "available_cpus", lambda: 1000)
    assert keys(machine) == before
    assert keys(replace(machine, host="another"))[:-1] == before[:-1], "times alone belong to a host"
    assert keys(replace(machine, host="another"))[-1] != before[-1]


def test_nodes_are_alike_if_nothing_that_decides_bits_differs_and_a_mixed_study_asks_for_less() -> None:
    one = here("cpu", 1, 1)
    processor = one.numerics["machine"] | {"model": "Abacus"}
    variables = one.numerics["variables"] | {"ATEN_CPU_CAPABILITY": "avx2"}
    other = replace(one, host="n2", numerics=one.numerics | {"machine": processor, "variables": variables})
    alike = replace(one, host="n3")
    assert one.of_any_node(False).like(alike.of_any_node(False)) == []
    assert keys(one.of_any_node(False)) == keys(alike.of_any_node(False)), "times belong to the kind of node"
    unlike = one.of_any_node(False).like(other.of_any_node(False))
    assert any("Abacus there" in text for text in unlike)
    assert "ATEN_CPU_CAPABILITY is avx2 there and absent here" in unlike
    assert one.of_any_node(True).like(other.of_any_node(True)) == []
    assert not set(keys(one.of_any_node(True))) & set(keys(one)), (
        "what is mixed is stored under keys of its own"
    )
    assert one.of_any_node(True).like(here("cpu", 2, 1).of_any_node(True)), "threads still decide bits"


def test_what_no_row_can_be_measured_of_is_refused() -> None:
    machine = here("cpu", 1, 1)
    lacking = machine.lacking | {"openvino": dict.fromkeys(machine.lacking["openvino"], "it is not there")}
    without = replace(machine, lacking=lacking, missing=machine.missing | {"openvino": "it is not there"})
    without.check([Latency(runtimes=("torch", "openvino"))], ["torch"])
    for wanted, targets in (([Latency(runtimes=("openvino",))], []), ([], ["openvino"])):
        with pytest.raises(SecateurError, match="it is not there"):
            without.check(wanted, targets)
    many = Latency(runtimes=("torch",), threads=(machine.cpus + 1,))
    assert "need as many processors" in without.reasons(many)[0]


def test_what_a_machine_noted_by_an_older_version_does_not_tell_is_said_not_to_be_known() -> None:
    machine = here("cpu", 1, 1)
    lacking, missing = machine.lacking.copy(), machine.missing.copy()
    del lacking["openvino"], missing["openvino"]
    older = replace(machine, lacking=lacking, missing=missing)
    older.check([Latency(runtimes=("torch", "openvino"))], ["torch"])
    for wanted, targets in (([Latency(runtimes=("openvino",))], []), ([], ["openvino"])):
        with pytest.raises(SecateurError, match="is not known yet"):
            older.check(wanted, targets)


def test_every_runtime_has_its_rows() -> None:
    from engine.compute.runtimes.base import OPENED  # imports torch: not in each process that only collects

    assert tuple(KIND) == tuple(OPENED) == RUNTIMES
