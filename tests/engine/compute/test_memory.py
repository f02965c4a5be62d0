"""Memory that a worker keeps for its next tensors."""

import subprocess
import sys

KEPT = """
import resource, torch
from engine.compute import memory
from engine.compute.worker.setup import settle

settle(1)
cpu = torch.device("cpu")

def update():
    held = [torch.ones(1 << 20) for _ in range(20)]
    small = [torch.ones(1 << 12) for _ in range(2000)]

update()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
update()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
full = memory.peak_bytes(cpu)
memory.reset_peak()
print(full - memory.peak_bytes(cpu))
"""


def test_freed_memory_is_used_again_and_counts_in_no_later_peak() -> None:
    done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, check=True)
    faults, given_back = map(int, done.stdout.split())
    pages = (20 << 22) // 4096
    assert faults < pages / 10
    assert given_back > 20 << 22
