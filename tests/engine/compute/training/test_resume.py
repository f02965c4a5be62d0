"""Unfinished trainings of one step, kept by several studies at once."""

import shutil
import threading
from pathlib import Path

import torch

from engine.compute.training import resume


def test_studies_at_the_same_step_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Both keep the same epochs in one folder; whoever is first removes it at its end."""
    folder = tmp_path / "key" / "fit"
    failures: list[BaseException] = []

    def study() -> None:
        model = torch.nn.Linear(4, 4)
        optimizer = torch.optim.SGD(model.parameters())
        try:
            for _ in range(10):
                for count in (1, 2, 3):
                    resume.keep(model, optimizer, [{}] * count, None, folder)
                    resume.restore(model, optimizer, folder)
                shutil.rmtree(tmp_path / "key", ignore_errors=True)
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    threads = [threading.Thread(target=study) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
