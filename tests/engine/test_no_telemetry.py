"""Nothing that is installed reports home: a pipeline runs where asking for an internet socket is deadly."""

import importlib.util
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import lone
from tests.offline import CALLS, forbid_internet
from tests.study_lab import Lab

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or __import__("platform").machine() not in CALLS, reason="the kernel's filters"
)
RUNTIMES = ["torch", "onnxruntime"] + ["openvino"] * bool(importlib.util.find_spec("openvino"))
PRESET = f"""
seed: 0
threads: 1
device: cpu
model: {{name: resnet8, arguments: {{width: 4}}}}
data: {{name: digits, limit: 64}}
steps:
  - train: {{epochs: 1, batch: 32}}
  - quantize.static: {{images: 16}}
measure:
  latency: {{runtimes: [{", ".join(RUNTIMES)}], batch: [1], blocks: 3, block_ms: 2, warmup_ms: 2}}
"""
DETECTOR = """
from tests.offline import forbid_internet
forbid_internet()
from engine.compute.yolo import detector, library
detector("yolov8n", 3, 2, (64, 64))
"""


def python(code: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, preexec_fn=forbid_internet, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(
    "ask",
    [
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
        "import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
        "import socket; socket.getaddrinfo('nowhere.example.com', 443)",
    ],
)
def test_the_guard_is_deadly_for_children_too(ask: str) -> None:
    assert python(ask).returncode == -signal.SIGSYS
    child = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {ask!r}]).returncode)"
    assert python(child).returncode == 256 - signal.SIGSYS
    assert python("import socket; socket.socket(socket.AF_UNIX)").returncode == 0


def test_a_study_in_every_runtime_opens_no_internet_socket(tmp_path: Path) -> None:
    lab = Lab(tmp_path, warm=False)
    process = lab.start("run", lab.preset(PRESET), "--json", preexec_fn=forbid_internet)
    out, err = process.communicate(timeout=lab.timeout_s)
    assert process.returncode == 0, err
    rows = json.loads(out)["trials"][0]["results"]["latency"]
    assert {row["runtime"] for row in rows if "unavailable" not in row} >= {"onnxruntime"}


@pytest.mark.skipif(not importlib.util.find_spec("ultralytics"), reason="an extra")
def test_ultralytics_opens_no_internet_socket(tmp_path: Path) -> None:
    done = lone.ours(DETECTOR, tmp_path)
    assert done.returncode == 0, done.stderr
