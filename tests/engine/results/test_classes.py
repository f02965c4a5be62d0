"""What is told of classes: what each lost, what it is taken for, and which of many are shown."""

from engine.results.classes import MOST, cells, matrix, results, shown

NOW = {"names": ["cat", "dog", "owl"], "images": [4, 2, 0], "correct": [1, 2, 0], "confused": [[0, 1, 3]]}
BEFORE = NOW | {"correct": [4, 2, 0], "confused": []}


def test_each_class_with_its_loss_and_what_it_is_taken_for() -> None:
    cat, dog, owl = results(NOW, BEFORE)
    assert cells(cat) == ["cat", "4", "100.0 %", "25.0 %", "-75.0 points", "dog (3)"]
    assert cells(dog)[4:] == ["+0.0 points", ""]
    assert owl.accuracy is None and cells(owl)[2:4] == ["–", "–"]
    assert matrix(NOW) == [[1, 3, 0], [0, 2, 0], [0, 0, 0]]


def test_a_study_of_before_and_a_baseline_of_other_classes_are_no_comparison() -> None:
    assert results({}, {}) == []
    assert results(NOW, {})[0].before is None
    assert results(NOW, BEFORE | {"names": ["a", "b", "c"]})[0].before is None


def test_of_many_those_that_lost_most() -> None:
    count = 40
    many = {
        "names": [str(n) for n in range(count)],
        "images": [10] * count,
        "correct": list(range(10)) * 4,
        "confused": [],
    }
    found = shown(results(many, many | {"correct": [10] * count}))
    assert len(found) == MOST
    assert [one.accuracy for one in found[:4]] == [0.0] * 4
