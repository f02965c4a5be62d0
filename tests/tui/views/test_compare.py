"""Two trials side by side, as lines."""

from dataclasses import replace
from pathlib import Path

from engine.results.compare import Measured, compare, side
from engine.studies.state import load
from engine.testing import folders as fabricate
from tui.views.compare import lines

AT_80 = 70
"""Columns of its box on a terminal of 80, beside its scrollbar."""


def test_both_columns_are_there_however_long_the_studies_names(tmp_path: Path) -> None:
    runs = [fabricate.finished(tmp_path, letter * 80).run for letter in "ab"]
    found = compare(*(side(run, load(run.path), "pick") for run in runs))
    text = ["".join(part for part, _ in line) for line in lines(found, AT_80)]
    head = next(line for line in text if "measure " in line)
    assert "aaa…:9" in head and "bbb…:9" in head and "difference" in head
    accuracy = next(line for line in text if line.strip().startswith("accuracy"))
    assert accuracy.count("98.03 %") == 2


def test_the_difference_is_there_beside_long_values_too(tmp_path: Path) -> None:
    run = fabricate.finished(tmp_path, "a" * 80).run
    found = side(run, load(run.path), "pick")
    measures = (
        Measured("throughput.onnxruntime.8", 123.4, 43210.0),
        Measured("accuracy.worst_class", 0.767, 0.785),
    )
    drawn = lines(replace(compare(found, found), measures=measures), AT_80)
    text = ["".join(part for part, _ in line) for line in drawn]
    assert "difference" in text[1] and "better" in text[2] and "+1.80 points" in text[3]
    assert all(len(line) <= AT_80 for line in text)
