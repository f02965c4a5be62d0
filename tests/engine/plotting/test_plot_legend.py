"""The legend in a terminal: every line can be told from the others in as few rows as there are."""

from engine.plotting import text
from engine.plotting.figure import Figure, Reference
from engine.plotting.legend import fitted
from engine.plotting.palette import COLOURS, styles
from engine.plotting.text import matrix
from tests.engine.plotting.lines import series

RUNTIMES = ("torch", "torch-compile", "onnxruntime", "openvino")


def by_runtime(names: list[str]) -> Figure:
    lines = tuple(series(name, [0, 1], [place, place + 1]) for place, name in enumerate(names))
    baselines = tuple(Reference(f"baseline, {name}", place + 2) for place, name in enumerate(names))
    return Figure(series=lines, references=baselines, y_measure="latency")


def told(figure: Figure, width: int, height: int) -> str:
    rows = fitted(figure, width, height)
    assert all(len(row) <= width for row in rows)
    return "\n".join("".join(cell.char for cell in row) for row in rows)


def test_names_are_in_full_where_there_is_room() -> None:
    assert "◆ torch-compile" in told(by_runtime([*RUNTIMES]), 200, 60)
    assert "╌╌ baseline, openvino 5.00 ms" in told(by_runtime([*RUNTIMES]), 200, 60)


def test_every_line_by_runtime_and_batch_is_named_in_80x24() -> None:
    names = [f"{runtime}, batch {batch}" for runtime in RUNTIMES for batch in (1, 32)]
    drawn = text.draw(by_runtime(names), 80, 17, colour=False)
    entries = ["torch, b1", "torch, b32", "compiled, b1", "compiled, b32", "ort, b1", "ort, b32"]
    for marker, name in zip("●◆▲■○◇△□", [*entries, "openvino, b1", "openvino, b32"], strict=True):
        assert f"{marker} {name}" in {part.strip() for part in drawn.replace("\n", "   ").split("   ")}
    assert "╌╌ base 2.00 ms to 9.00 ms" in drawn
    assert "…" not in drawn


def test_what_all_names_share_is_left_out() -> None:
    names = [f"{runtime}, bf16, batch 1, {ratio}" for runtime in RUNTIMES for ratio in (0.25, 0.5, 0.75)]
    found = told(by_runtime(names), 80, 17)
    assert "● torch, 0.25 " in found
    assert "bf16" not in found and "b1" not in found


def test_words_before_values_go_before_names_are_cut() -> None:
    names = [f"scope {scope}, sparsity {s}" for scope in ("local", "global") for s in (0.1, 0.2, 0.3, 0.4)]
    found = told(Figure(series=tuple(series(name, [0], [1]) for name in names)), 80, 12)
    assert "● local, 0.1 " in found
    assert "□ global, 0.4" in found


def test_many_lines_get_names_that_still_differ() -> None:
    names = [f"{ratio}, {runtime}" for ratio in (0, 0.3, 0.5, 0.7, 0.9, 1) for runtime in RUNTIMES]
    found = told(Figure(series=tuple(series(name, [0], [1]) for name in names)), 80, 17)
    heads, entries = "", set()
    for part in (part.strip() for line in found.splitlines() for part in line.split("   ")):
        head, colon, entry = part.rpartition(": ")
        heads = head if colon else heads
        entries.add((heads, entry[2:]))
    assert len({(head, name) for head, name in entries if name != "several here"}) == len(names)


def test_names_alike_at_both_ends_are_not_made_equal() -> None:
    names = [f"prune-channels-{n}-of-resnet18 local" for n in range(6)]
    found = told(Figure(series=tuple(series(name, [0], [1]) for name in names)), 60, 12)
    assert all(f"-{n}-" in found for n in range(3))


def test_what_fits_in_no_way_is_said_to_be_more() -> None:
    names = [f"trial {i} of many" for i in range(60)]
    assert told(Figure(series=tuple(series(name, [0], [1]) for name in names)), 60, 12).endswith("…")


def test_twenty_curves_need_few_rows_and_each_can_be_told() -> None:
    names = [
        "train",
        *(f"finetune {scope} {n} %" for scope in ("local", "global") for n in range(0, 100, 10)),
    ]
    figure = Figure(series=tuple(series(name, [0, 1], [i, i]) for i, name in enumerate(names)))
    rows = ["".join(cell.char for cell in row).strip() for row in fitted(figure, 80, 18)]
    text = " ".join(rows)
    assert len(rows) <= 4 and "…" not in text
    assert text.count("finetune local:") == text.count("finetune global:") == 1
    assert text.count(" 30 %") == 2
    assert len({look.glyph for look in styles(figure)}) == len(names)


def test_the_bright_line_alone_has_a_colour_and_lies_above() -> None:
    lines = (series("a", [0, 1], [0, 1]), series("b", [0, 1], [0, 1]))
    rows = matrix(Figure(series=lines, bright=0), 40, 12)
    colours = {cell.fg for row in rows for cell in row if cell.char in "●◆*"}
    assert colours == {COLOURS[0].terminal}, "its markers cover what shares their cells"
