"""Nothing that is computed, kept or told depends on the order of a set, which differs from process to process."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

STUDY = """
import json
import torch
from engine.compute.models import tensors
from engine.compute.steps.apply import apply
from engine.presets import spec
from engine.runner.executors.choose import machine
from engine.studies import events as ev
from engine.studies.plan import data_id, make
from tests.engine.compute.compute_help import context_for, small_model

torch.set_num_threads(1)
read = spec.parse('''
threads: 1
device: cpu
model: {name: resnet8}
data: {name: digits, limit: 400}
steps:
  - train: {epochs: 1}
  - sensitivity: {of: channels, images: 64, rates: [0.3]}
  - prune.channels: {ratio: 0.3}
  - factorize: {skip: [fc, conv1]}
sweep:
  prune.channels.scope: [global, cost]
''', 'p')
plan = make(read, {data_id(trial): 'data' for trial in read.trials}, machine(read.settings))
jobs = [[job.number, [node.key for node in job.nodes], sorted(job.needs)] for job in plan.jobs]
model, events = small_model(depth=8), []
context = context_for(events=events)
found = []
for step in read.trials[-1].steps[1:]:
    model = apply(step, model, context)
    found.append(dict(context.observations))
print(json.dumps({
    "jobs": jobs,
    "found": found,
    "said": [event.text for event in events if isinstance(event, ev.Notice)],
    "bits": [tensors.bits(tensor).tolist() for tensor in tensors.saved(model).values()],
}))
"""


@pytest.mark.long
def test_keys_numbers_messages_and_bits_are_the_same_in_processes_that_order_sets_otherwise() -> None:
    """In a new process, and in this one, which has another seed: that of the tests' server, or one by chance."""
    other = subprocess.Popen(
        [sys.executable, "-c", STUDY],
        env=os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with contextlib.redirect_stdout(io.StringIO()) as here:
        exec(STUDY, {})
    there, errors = other.communicate()
    assert there, errors
    assert there == here.getvalue()
