"""Quick forms of benchmarks: `python -m tools.quick_benchmarks`; exit code 1 where one fails.

`make test` runs it behind the tests, each benchmark in a process of its own as a user starts it, because what they
measure takes minutes of its own and does not belong into the processes that run the tests.
"""

import subprocess
import sys
import tempfile

CLAIMS = {
    "bring": "cases, 0 wrong",
    "without_training": "every claim holds",
    "low_bits": "every claim holds",
    "deep_compression": ": met",
    "transformers": "every claim holds",
}
"""Benchmarks by name, and what their output says where the claim holds."""
OWN_FOLDER = {"without_training", "low_bits", "deep_compression", "transformers"}
"""Those that keep results in a folder, to go on from them."""


def holds(name: str) -> bool:
    """Whether the benchmark ends well and says that its claim holds; its output is printed where not."""
    with tempfile.TemporaryDirectory(prefix="secateur-quick-") as folder:
        own = ["--folder", folder] if name in OWN_FOLDER else []
        command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", *own]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    good = done.returncode == 0 and CLAIMS[name] in done.stdout
    print(f"{name}: {'holds' if good else 'DOES NOT HOLD'}", flush=True)
    if not good:
        print(done.stdout, done.stderr, sep="\n", flush=True)
    return good


def main() -> int:
    """Run all of them, also behind one that fails."""
    failed = [name for name in CLAIMS if not holds(name)]
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
