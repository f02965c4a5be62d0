"""What users are told that steps made of each layer."""

from typing import Any

from engine.results import layers
from engine.studies.state import StepState, TrialState


def trial(*steps: tuple[str, dict[str, Any]]) -> TrialState:
    done = [
        StepState(str(n), kind, kind, "done", measures=measures) for n, (kind, measures) in enumerate(steps)
    ]
    measure = StepState("m", "measure", "measure")
    return TrialState(0, {}, done, measure, None, "b", measure)


MERGED = {"name": "conv1", "filters": 16, "clusters": 8, "distortion": 0.25, "method": "merged"}
BOOK = {"name": "conv1", "centroids": 8, "width": 1, "bits": 2.71, "distortion": 0.003}
VECTORS = {"name": "fc", "centroids": 64, "width": 4, "bits": 1.44, "distortion": 0.1}


def test_each_kind_of_step_is_told_in_its_own_words() -> None:
    found = layers.of_trial(
        trial(
            ("cluster.filters", {"clusters": [MERGED]}),
            ("cluster.weights", {"codebooks": [BOOK, VECTORS]}),
            (
                "cluster.kernels",
                {"dictionaries": [{"name": "a", "kernels": 64, "entries": 4, "distortion": 0.5}]},
            ),
            (
                "factorize",
                {"factors": [{"name": "b", "scheme": "tucker", "ranks": [4, 9], "distortion": 0.0}]},
            ),
            ("quantize.weights", {"rounding": [{"name": "c", "bits": 4, "lost": 0.01}]}),
            ("quantize.static", {"precision": [{"name": "d", "precision": "fp32", "deviation": 0.2}]}),
            ("quantize.qat", {"precision": [{"name": "e", "precision": "int8"}]}),
        )
    )
    assert layers.rows(found) == [
        ["conv1", "merged 16→8, 8 values 2.7 bits", "25.0 %, 0.3 %"],
        ["fc", "64 ×4 vectors 1.4 bits", "10.0 %"],
        ["a", "kernels 64→4", "50.0 %"],
        ["b", "rank 4×9", "0.0 %"],
        ["c", "4 bits", "1.0 %"],
        ["d", "fp32", "20.0 %"],
        ["e", "int8", ""],
    ]


def test_what_channel_pruning_made_plain_again_is_not_told() -> None:
    shared = MERGED | {"name": "conv2", "method": "shared"}
    found = layers.of_trial(
        trial(
            ("cluster.filters", {"clusters": [MERGED, shared]}),
            ("cluster.weights", {"codebooks": [BOOK]}),
            ("prune.channels", {}),
        )
    )
    assert layers.rows(found) == [["conv1", "merged 16→8", "25.0 %"]]


def test_the_parts_of_a_factorized_layer_have_its_ranks_and_their_own_codebooks() -> None:
    factors = {"name": "layer1.conv", "scheme": "svd", "ranks": [3], "distortion": 0.2}
    forms = layers.of_trial(
        trial(
            ("factorize", {"factors": [factors]}),
            ("cluster.weights", {"codebooks": [BOOK | {"name": "layer1.conv.1"}]}),
        )
    )
    assert layers.words(layers.of_layer(forms, "layer1.conv.0.weight")) == "rank 3"
    assert layers.words(layers.of_layer(forms, "layer1.conv.1.weight")) == "rank 3, 8 values 2.7 bits"
    assert layers.of_layer(forms, "layer1.conv2.weight") == ()


def test_reports_that_cannot_be_understood_are_left_out() -> None:
    odd = [7, {"name": "a"}, BOOK | {"bits": "many"}, BOOK | {"distortion": None}]
    assert layers.rows(
        layers.of_trial(trial(("cluster.weights", {"codebooks": odd}), ("x", {"clusters": 1})))
    ) == [["conv1", "8 values 2.7 bits", ""]]
