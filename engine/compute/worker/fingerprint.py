"""Prints the fingerprint of data that a user's own function makes, as one JSON line.

Run by the engine as ``python -m engine.compute.worker.fingerprint DATA_JSON WORKSPACE``.
"""

import json
import sys
from pathlib import Path

from engine import datasets
from engine.compute.data import load
from engine.errors import SecateurError
from engine.params.preset import Data


def main() -> None:
    params = Data.model_validate_json(sys.argv[1])
    try:
        found = load(params, datasets.locate(params, Path(sys.argv[2])))
        print(json.dumps({"fingerprint": found.fingerprint}))
    except SecateurError as error:
        print(json.dumps({"error": error.as_dict()}))


if __name__ == "__main__":
    main()
