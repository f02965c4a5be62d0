"""Does a check-up job: tries each of its networks on the data, and keeps what was found in the store."""

import time
from pathlib import Path

import torch

from engine import datasets
from engine.compute.checkup.network import Tried, check
from engine.compute.context import Send
from engine.compute.data import load
from engine.compute.data.look import look
from engine.compute.data.memory import budget
from engine.compute.data.words import told
from engine.compute.worker.commit import waiting_for_latency
from engine.datasets.preprocess import unsaid
from engine.errors import SecateurError, UsageError
from engine.machine import lock
from engine.params.preset import Data, Model
from engine.store.objects import Store
from engine.store.workspace import fingerprints
from engine.studies.job import JobRequest


def run(request: JobRequest, send: Send) -> None:
    """Try every network of the job that the store knows nothing of. Raises UsageError for what can't be."""
    settings = request.read_settings()
    store = Store(Path(request.store))
    try:
        workspace = Path(request.workspace)
        data = load(
            settings.data,
            datasets.locate(settings.data, workspace),
            fingerprint=request.fingerprint,
            cache=fingerprints(workspace),
            budget=budget() // request.parallel,
        )
        about = told(look(data)) | {"name": _named(settings.data)}
        for node in request.read_nodes():
            if store.get(node.key) is not None:
                continue
            with lock.shared(waiting_for_latency(node, send)), store.writing(node.key) as folder:
                started = time.monotonic()
                device, templates = torch.device(request.device), store.root / "templates"
                found = check(Tried(data, device, settings.seeds[0], templates, node.material))
                if text := unsaid(Model.model_validate(node.material["model"]), settings.data):
                    found["notes"].append(text)
                store.commit(
                    node.key,
                    folder,
                    kind=node.kind,
                    material=node.material,
                    measures={},
                    observations={"network": found, "data": about, "seconds": time.monotonic() - started},
                )
    except SecateurError as error:
        # Whatever is wrong with data and networks before anything began is the preset's to mend.
        raise UsageError(error.title, error.detail, error.remedy) from error


def _named(data: Data) -> str:
    """The data, with the folder where several of one name may be looked at."""
    return data.name if data.root is None else f"{data.name} {data.root}"
