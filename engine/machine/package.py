"""How a Python that is started from anywhere finds this package."""

import os
from pathlib import Path


def importable() -> dict[str, str]:
    """`PYTHONPATH` with which a Python finds our package from anywhere.

    For `python -P`, that is: without it Python first looks for modules in the current folder, which may be anybody's.
    """
    home = str(Path(__file__).resolve().parents[2])
    path = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{home}{os.pathsep}{path}" if path else home}
