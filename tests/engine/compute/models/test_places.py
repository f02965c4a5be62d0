"""Bits depend on values, not on where they lie, in the operators themselves: nothing here is moved to a better place.

Whether a library takes other instructions at another address depends on the processor: on AMD's, MKL's matrix-vector
product does where nothing asks it not to. So this runs on emulated ones too (tests/test_processors.py).
"""

import pytest

from tests.engine.compute.models import places


@pytest.mark.parametrize("name", places.CASES)
def test_an_operator_gives_the_same_bits_wherever_what_it_is_given_lies(name: str) -> None:
    assert not places.differing(name), "argument and offset"
