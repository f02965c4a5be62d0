"""Stand-ins for Slurm's programs, which note what they are asked, and a study that is sent to them."""

from pathlib import Path

import pytest

from engine.presets import spec
from engine.runner import launch
from engine.studies.rundir import RunDir

PRESET = """\
threads: 1
device: cpu
model: {name: resnet8, arguments: {width: 4}}
data: {name: digits, limit: 100}
steps: [train, {prune.weights: {sparsity: 0.5}}]
sweep: {prune.weights.sparsity: [SPARSITIES]}
executor: {slurm: {}}
"""
SBATCH = """\
#!/bin/sh
file=$(eval echo \\${$#})
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$file")
echo "$(basename "$file") $last $*" >> CALLS
[ "$last" -ge MOST ] && { echo "sbatch: error: REASON" >&2; exit 1; }
wc -l < CALLS
"""
SQUEUE = """\
#!/bin/sh
awk '/^scancel/ { n = 0 } $1 ~ /[.]sh$/ { jobs[n++] = NR }
     END { while (n--) print jobs[n] "|PENDING|N/A|0:00|5:00||9|Priority|(null)" }' CALLS
"""
"""All that was sent waits until something is cancelled."""


def standing_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put them first in PATH; the file that gets a line for every call of sbatch and scancel."""
    file = tmp_path / "calls"
    file.touch()
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (programs / "scancel").write_text(f'#!/bin/sh\necho "scancel $*" >> {file}\n')
    (programs / "squeue").write_text(SQUEUE.replace("CALLS", str(file)))
    answering(tmp_path)
    return file


def answering(folder: Path, reason: str = "QOSMaxSubmitJobPerUserLimit", most: int = 10) -> None:
    text = SBATCH.replace("CALLS", str(folder / "calls")).replace("MOST", str(most)).replace("REASON", reason)
    (folder / "bin" / "sbatch").write_text(text)
    for program in (folder / "bin").iterdir():
        program.chmod(0o755)


def study(folder: Path, trials: int, more: str = "") -> RunDir:
    values = ", ".join(f"{number / (trials + 1):.6f}" for number in range(trials))
    return launch.create(spec.parse(PRESET.replace("SPARSITIES", values) + more, "p"), folder / "w")
