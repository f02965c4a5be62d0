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


def add_within(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--within",
        metavar="POINTS",
        type=_points,
        help="points of validation accuracy that the pick may lose (default: as in the preset, else 1)",
    )


def _points(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"given {text}; allowed: 0 to 100 points")
    return value


def print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    print()


def columns() -> int:
    """Width to write for: the terminal's, or 100 where there is none."""
    return min(shutil.get_terminal_size((100, 24)).columns, WIDEST)
