"""What several commands share: options and standard output."""

import argparse
import json
import shutil
import sys
from typing import Any

WIDEST = 120
"""Columns beyond which a table is no easier to read."""


def add_workspace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workspace",
        metavar="DIR",
        help="folder of studies and stored results (default: $SECATEUR_HOME or ./.secateur)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON value on stdout, nothing else")


def print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    print()


def columns() -> int:
    """Width to write for: the terminal's, or 100 where there is none."""
    return min(shutil.get_terminal_size((100, 24)).columns, WIDEST)
