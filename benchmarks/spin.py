"""What threads that spin while they wait cost: alone on the machine, and beside other programs.

    python -m benchmarks.spin [--seconds 6] [--rounds 3]

Prints training steps of ResNet20 on 8×8 images a second, with all processors' threads, for each setting of libgomp and
the ratio to libgomp's own: alone, beside one and beside two programs that keep a processor busy each. Every program
runs in a session of its own, as studies do: there a scheduler that is fair to sessions may put all threads of one on
the same processor, where a thread that spins keeps away the one it waits for.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack

from engine.machine.environment import SETTLED

SETTINGS = {
    "libgomp's own": {},
    "spin 30000": {"GOMP_SPINCOUNT": "30000"},
    "spin 10000": {"GOMP_SPINCOUNT": "10000"},
    "spin 3000": {"GOMP_SPINCOUNT": "3000"},
    "spin 1000": {"GOMP_SPINCOUNT": "1000"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}
CHOICE = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")
BUSY = "while True: pass"


def work(seconds: float) -> None:
    """Prints the steps done in a second."""
    import torch  # before our package, which settles what is compared here

    from engine.compute.models.resnet import CifarResNet

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = CifarResNet(20, 1, 10).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    images, labels = torch.randn(128, 1, 8, 8), torch.randint(10, (128,))

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    step()
    steps, started = 0, time.monotonic()
    while time.monotonic() - started < seconds:
        step()
        steps += 1
    print(steps / (time.monotonic() - started))


def run(extra: dict[str, str], others: int, seconds: float) -> float:
    environment = {name: value for name, value in os.environ.items() if name not in CHOICE} | extra
    command = [sys.executable, "-m", "benchmarks.spin", "--work", str(seconds)]
    with ExitStack() as stack:
        for _ in range(others):
            other = subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True)
            stack.callback(other.wait)
            stack.callback(other.kill)
        return float(
            subprocess.run(
                command,
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                start_new_session=True,
            ).stdout
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="of each run")
    parser.add_argument(
        "--rounds", type=int, default=3, help="of all settings in turn; the median is printed"
    )
    parser.add_argument("--work", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work is not None:
        work(args.work)
        return
    for others in (0, 1, 2):
        print(f"beside {others} other program(s)", flush=True)
        rates: dict[str, list[float]] = {name: [] for name in SETTINGS}
        for _ in range(args.rounds):
            for name, extra in SETTINGS.items():
                rates[name].append(run(extra, others, args.seconds))
        own = statistics.median(rates["libgomp's own"])
        for name, steps in rates.items():
            chosen = " (ours)" if SETTINGS[name].get("GOMP_SPINCOUNT") == SETTLED["GOMP_SPINCOUNT"] else ""
            median = statistics.median(steps)
            print(f"  {name + chosen:20} {median:6.2f} steps/s ({median / own:.2f})", flush=True)


if __name__ == "__main__":
    main()
