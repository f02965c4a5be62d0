"""Two trials side by side, as lines."""

from pathlib import Path

from engine.results.compare import compare, side
from engine.studies.state import load
from engine.testing import folders as fabricate
from tui.views.compare import lines


def test_both_columns_are_there_however_long_the_studies_names(tmp_path: Path) -> None:
    runs = [fabricate.finished(tmp_path, letter * 80).run for letter in "ab"]
    found = compare(*(side(run, load(run.path), "pick") for run in runs))
    text = ["".join(part for part, _ in line) for line in lines(found, 74)]
    head = next(line for line in text if "measure " in line)
    assert "aaa…:9" in head and "bbb…:9" in head
    accuracy = next(line for line in text if line.strip().startswith("accuracy"))
    assert accuracy.count("98.03 %") == 2
