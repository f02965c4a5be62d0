"""What threads that spin while they wait cost: alone on the machine, and beside another program like it.

Prints milliseconds a training step and a forward pass of ResNet20 take with each setting of libgomp, and the
ratio to libgomp's own. Run by hand: ``python benchmarks/spin.py``.
"""

import os
import subprocess
import sys
import time

SETTINGS = {
    "libgomp's own": {},
    "spin 10000": {"GOMP_SPINCOUNT": "10000"},
    "spin 1000": {"GOMP_SPINCOUNT": "1000"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}


def work() -> None:
    import torch

    from engine.compute.models import CifarResNet

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = CifarResNet(20, 1, 10).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    images, labels = torch.randn(128, 1, 8, 8), torch.randint(10, (128,))

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    def look() -> None:
        with torch.inference_mode():
            model(images[:1])

    print(median(step, 20), median(look, 200))


def median(call: object, times: int) -> float:
    assert callable(call)
    found = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return sorted(found)[times // 2] * 1e3


def run(extra: dict[str, str], together: int) -> tuple[float, float]:
    environment = {
        k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    } | extra
    command = [sys.executable, __file__, "work"]
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(together)
    ]
    results = [tuple(map(float, process.communicate()[0].split())) for process in running]
    return results[0][0], results[0][1]


def main() -> None:
    for together in (1, 2):
        print(f"{together} program(s) on all processors")
        base: tuple[float, float] | None = None
        for name, extra in SETTINGS.items():
            train, infer = run(extra, together)
            base = base or (train, infer)
            print(
                f"  {name:20} train step {train:8.1f} ms ({train / base[0]:.2f})   "
                f"forward {infer:8.3f} ms ({infer / base[1]:.2f})"
            )


if __name__ == "__main__":
    work() if sys.argv[1:] == ["work"] else main()
