"""Claims: one holder at a time, free again when it is gone."""

import os
import shutil
from pathlib import Path

import pytest

from engine.errors import SecateurError
from engine.store import claims
from engine.store.claims import Claims


def test_a_key_has_one_holder_until_it_is_given_back(tmp_path: Path) -> None:
    with Claims(tmp_path, "1_0.0") as one, Claims(tmp_path, "1_1.0") as two:
        assert one.take("k")
        assert one.take("k"), "a holder has what it has"
        assert not two.take("k")
        assert two.holder_of("k") == "1_0.0"
        one.release(["k"])
        assert two.take("k")
    with Claims(tmp_path, "1_2.0") as three:
        assert three.take("k"), "a holder that ends gives back"
    assert [path.name for path in (tmp_path / "claims").iterdir()] == ["holders"]


def test_a_claim_that_can_not_be_written_is_an_error_that_says_why(tmp_path: Path) -> None:
    with Claims(tmp_path, "1_0.0") as one:
        shutil.rmtree(tmp_path / "claims")
        with pytest.raises(SecateurError, match="is missing"):
            one.take("k")


def test_a_holder_whose_counter_stands_still_is_dead_by_the_readers_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BEAT_S", 0.02)
    with Claims(tmp_path, "2_0.0") as other:
        killed = Claims(tmp_path, "1_0.0")  # never entered: its counter does not beat
        killed._write()
        assert killed.take("k")
        assert not other.take("k")
        monkeypatch.setattr(claims, "DEAD_AFTER_S", 0.0)
        assert other.take("k")
        killed.release(["k"])
        assert other.holder_of("k") == ""
        assert (tmp_path / "claims" / "k").exists(), "what others took over is theirs"


def test_a_holder_that_was_dead_before_a_reader_began_is_not_watched_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks that Slurm ends after a minute would wait for it one after the other, for ever."""
    monkeypatch.setattr(claims, "BEAT_S", 0.0)
    with Claims(tmp_path, "2_0.0") as other:
        killed = Claims(tmp_path, "1_0.0")
        killed._write()
        assert killed.take("k")
        assert not other.take("k")
        written = other._file("2_0.0").stat().st_mtime
        os.utime(killed._file("1_0.0"), (written, written - 2 * claims.DEAD_AFTER_S))
        assert other.take("k")


def test_what_a_buried_holder_had_is_free_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = Claims(tmp_path, "7_0.0")
    killed._beats.mkdir(parents=True)
    killed._write()
    assert killed.take("k")
    with Claims(tmp_path, "8_0.0") as one, Claims(tmp_path, "71_0.0") as other:
        assert not one.take("k")
        claims.bury(tmp_path, ["7_"])
        assert one.alive(other.holder)
        monkeypatch.setattr(claims, "BEAT_S", 0.0)
        assert one.take("k")


def test_an_attempt_takes_over_from_the_one_before_at_once(tmp_path: Path) -> None:
    killed = Claims(tmp_path, "1_0.0")
    killed._beats.mkdir(parents=True)
    killed._write()
    assert killed.take("k")
    with Claims(tmp_path, "1_0.1", supersedes="1_0.") as again:
        assert again.take("k")


def test_what_killed_holders_left_long_ago_goes_and_what_lives_stays(tmp_path: Path) -> None:
    with Claims(tmp_path, "1_0.0") as living:
        assert living.take("long")
        killed = Claims(tmp_path, "2_0.0")
        killed._write()
        assert killed.take("dead")
        for path in (killed._file("2_0.0"), tmp_path / "claims" / "long", tmp_path / "claims" / "dead"):
            os.utime(path, (1.0, 1.0))
        claims.sweep(tmp_path)
        claims.sweep(tmp_path)
        left = {path.name for path in (tmp_path / "claims").rglob("*") if path.is_file()}
        assert left == {"long", "1_0.0.json"}
