"""Tells the fingerprint of data that a user's own function makes, as one JSON text through a pipe.

Run by the engine with the arguments DATA_JSON WORKSPACE CODE DESCRIPTOR: the study's record of users' code, and the
pipe. What the function prints, at import or at its end too, goes where the process's output goes.
"""

import json
import os
import sys
from pathlib import Path

from engine import datasets, sources
from engine.compute import usercode
from engine.compute.data import load
from engine.compute.worker.explain import explain
from engine.errors import SecateurError
from engine.params.preset import Data
from engine.text.visible import guard_streams


def main() -> None:
    guard_streams()
    data, workspace, code, descriptor = sys.argv[1:]
    params = Data.model_validate_json(data)
    os.set_inheritable(
        int(descriptor), False
    )  # the pipe ends with this process, whatever the function starts
    try:
        usercode.use(sources.read(Path(code)))
        data_set = load(params, datasets.locate(params, Path(workspace)))
        reply: dict[str, object] = {"fingerprint": data_set.fingerprint}
    except (SecateurError, MemoryError) as error:
        reply = {"error": explain(error).as_dict()}
    with os.fdopen(int(descriptor), "w") as answer:
        json.dump(reply, answer)


if __name__ == "__main__":
    main()
