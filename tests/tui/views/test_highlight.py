"""The YAML view: what is a key, a value, a comment; problems below their lines; nothing lost."""

from engine.errors import PresetInvalid
from engine.presets import shipped, spec
from tui.views.highlight import COMMENT, KEY, VALUE, WRONG, highlighted

TEXT = """\
# all of it
model: {name: resnet20}  # small
steps:
  - train: {epochs: 2, note: "a # b"}
  - prune.weights: {sparsity: 0.5}
"""


def roles(text: str) -> dict[str, str]:
    return {part: role for line in highlighted(text, (), 100) for part, role in line if role}


def test_keys_values_and_comments_have_their_roles() -> None:
    found = roles(TEXT)
    assert {found[key] for key in ("model", "name", "steps", "train", "prune.weights", "epochs")} == {KEY}
    assert {found[value] for value in ("resnet20", "2", '"a # b"', "0.5")} == {VALUE}
    assert found["# all of it"] == found["# small"] == COMMENT


def test_nothing_of_a_preset_is_lost_however_narrow() -> None:
    for name in ("quickstart", "yolov8-channels"):
        text = shipped.find(name).read_text()
        whole = "".join(part for line in highlighted(text, (), 200) for part, _ in line)
        assert whole == text.replace("\n", "")
        narrow = highlighted(text, (), 24)
        assert all(sum(len(part) for part, _ in line) <= 24 for line in narrow)
        assert "".join("".join(p for p, _ in line) for line in narrow).replace(" ", "") == whole.replace(
            " ", ""
        )


def test_a_problem_stands_below_its_line_even_where_the_rest_is_no_yaml() -> None:
    try:
        spec.parse(TEXT.replace("epochs: 2", "epochs: -2"), "x")
    except PresetInvalid as invalid:
        problems = invalid.problems
    lines = highlighted(TEXT, problems, 100)
    at = next(i for i, line in enumerate(lines) if "train" in "".join(part for part, _ in line))
    assert {role for _, role in lines[at]} == {WRONG}
    assert "allowed: a whole number ≥ 1" in lines[at + 1][0][0]
    broken = "a: [1\n  b: c: d\n"
    assert ["".join(part for part, _ in line) for line in highlighted(broken, (), 40)] == broken.splitlines()
