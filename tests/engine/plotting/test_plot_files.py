"""Charts in files: well-formed SVG, PNG of the size asked for, CSV that reads back exactly."""

import csv as standard_csv
import io
import xml.etree.ElementTree as ET

from PIL import Image

from engine.plotting import csv, png, svg
from engine.plotting.drawing import layout
from engine.plotting.figure import Figure, Reference
from engine.text.visible import visible
from tests.engine.plotting.lines import series

ODD_NAME = 'a & b < "c" \x00\x1b ×±模'
FIGURE = Figure(
    title=ODD_NAME,
    x_label="x <&>",
    y_measure="size.packed",
    series=(series(ODD_NAME, [0, 1, 2, 3], [0.1 + 0.2, None, 1e6, 2e6], [None, None, 1e5, 0.1]),),
    references=(Reference("baseline", 1.5e6),),
)
SVG = "{http://www.w3.org/2000/svg}"


def test_svg_is_well_formed_with_names_escaped() -> None:
    root = ET.fromstring(svg.draw(FIGURE))
    texts = [element.text or "" for element in root.iter(f"{SVG}text")]
    assert any(text.startswith('a & b < "c"') for text in texts)
    assert (root.get("width"), root.get("height")) == ("720", "420")


def test_svg_names_every_series_and_splits_lines_at_gaps() -> None:
    names = [f"series {i}" for i in range(6)]
    figure = Figure(series=tuple(series(name, [0, 1, 2, 3, 4], [1, 2, None, 4, 5]) for name in names))
    root = ET.fromstring(svg.draw(figure))
    texts = {element.text for element in root.iter(f"{SVG}text")}
    assert set(names) <= texts
    parts = [element for element in root.iter(f"{SVG}polyline") if element.get("stroke") == "#0072b2"]
    assert len(parts) == 3  # one sample in the legend, two runs


def test_svg_loads_nothing_from_elsewhere() -> None:
    text = svg.draw(FIGURE)
    assert "href" not in text
    assert "url(" not in text
    assert 'font-family="sans-serif"' in text


def test_marks_and_labels_stay_on_the_page() -> None:
    for width, height in ((720, 420), (240, 200), (1, 1), (2000, 300)):
        page = layout(FIGURE, width, height)
        for item in page.items:
            if hasattr(item, "x"):
                assert 0 <= item.x <= page.width
                assert 0 <= item.y <= page.height


def test_png_has_the_size_asked_for_and_colour_in_it() -> None:
    image = Image.open(io.BytesIO(png.draw(FIGURE, 400, 300, scale=2)))
    assert image.size == (800, 600)
    assert (0, 114, 178) in {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or []}


def test_files_are_deterministic() -> None:
    assert svg.draw(FIGURE) == svg.draw(FIGURE)
    assert png.draw(FIGURE, 300, 200, 1) == png.draw(FIGURE, 300, 200, 1)


def test_csv_reads_back_exactly() -> None:
    rows = list(standard_csv.reader(io.StringIO(csv.write(FIGURE))))
    assert rows[0] == ["series", "x", "y", "deviation"]
    assert float(rows[1][2]) == 0.1 + 0.2
    assert rows[2][2] == ""
    assert rows[-1] == ["baseline", "", "1500000.0", ""]
    assert {row[0] for row in rows[1:]} == {visible(ODD_NAME), "baseline"}
