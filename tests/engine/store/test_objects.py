"""The store: whole objects or none, whoever writes and whatever breaks."""

import os
import resource
import threading
from pathlib import Path

import pytest

from engine.errors import SecateurError
from engine.store.keys import canonical, key
from engine.store.objects import Store

KEY = key({"a": 1})


def put(store: Store, content: bytes = b"weights", value: float = 0.5) -> None:
    with store.writing(KEY) as folder:
        (folder / "model.bin").write_bytes(content)
        store.commit(
            KEY, folder, kind="train", material={"a": 1}, measures={"x": value}, observations={"seconds": 1.0}
        )


def test_what_is_committed_is_found_with_its_measures(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.get(KEY) is None
    put(store)
    found = store.get(KEY)
    assert found is not None
    assert (found.kind, found.measures) == ("train", {"x": 0.5})
    assert (found.folder / "model.bin").read_bytes() == b"weights"
    assert store.damage(KEY) is None


def test_the_first_of_two_writers_wins(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.writing(KEY) as slow:
        (slow / "model.bin").write_bytes(b"second")
        put(store, b"first")
        kept = store.commit(KEY, slow, kind="train", material={}, measures={"x": 9.0}, observations={})
    assert kept.measures == {"x": 0.5}
    assert (store.folder(KEY) / "model.bin").read_bytes() == b"first"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_many_writers_at_once_leave_one_whole_object(tmp_path: Path) -> None:
    store = Store(tmp_path)
    threads = [threading.Thread(target=put, args=(store, bytes([n]) * 1000)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.damage(KEY) is None


def test_a_write_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.writing(KEY) as folder:
        (folder / "model.bin").write_bytes(b"half")
        raise RuntimeError
    assert store.get(KEY) is None
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "model.bin").write_bytes(b"weightS"), "has changed"),
        (lambda f: (f / "model.bin").write_bytes(b"w"), "1 bytes, 7 were written"),
        (lambda f: (f / "model.bin").unlink(), "No such file"),
        (lambda f: (f / "object.json").write_text("{"), "can't be read"),
    ],
)
def test_damage_is_noticed_set_aside_and_written_anew(tmp_path: Path, spoil, said: str) -> None:  # type: ignore[no-untyped-def]
    store = Store(tmp_path)
    put(store)
    spoil(store.folder(KEY))
    assert said in (store.damage(KEY) or "")
    kept = store.set_aside(KEY)
    assert kept.is_dir()
    assert store.get(KEY) is None
    put(store)
    assert store.damage(KEY) is None


def test_an_unreadable_object_in_the_way_is_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store)
    (store.folder(KEY) / "object.json").write_text("{")
    put(store, value=0.75)
    found = store.get(KEY)
    assert found is not None
    assert found.measures == {"x": 0.75}


def test_a_file_that_does_not_fit_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    """A file size limit fails like a full disk does, in the middle of a write."""
    store = Store(tmp_path)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            import signal

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
            put(store)
        except (SecateurError, OSError):
            code = 0 if store.get(KEY) is None else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    put(store)
    assert store.damage(KEY) is None


def test_equal_values_have_equal_keys_whatever_their_order() -> None:
    assert key({"a": 1, "b": [0.1, None]}) == key({"b": [0.1, None], "a": 1})
    assert key({"a": 1}) != key({"a": 2})
    assert canonical({"b": 0.1}) == '{"b":0.1}'


def made(store: Store, name: str, content: bytes, *of: str) -> str:
    own = key({"of": name})
    with store.writing(own) as folder:
        (folder / "model.bin").write_bytes(content)
        store.commit(own, folder, kind=name, material={}, measures={}, observations={}, made_of=of)
    return own


def test_a_number_is_not_taken_for_that_of_another_model(tmp_path: Path) -> None:
    store = Store(tmp_path)
    model = made(store, "model", b"one")
    measure = made(store, "measure", b"", model)
    assert store.verified(measure).made_of == {model: store.verified(model).content}
    store.remove(model)
    assert (
        store.damage(measure) is None
    )  # what it is of is gone, and comes back equal when it is computed again
    made(store, "model", b"one")
    assert store.damage(measure) is None
    store.remove(model)
    made(store, "model", b"another")
    assert "computed from another model" in str(store.damage(measure))


def test_what_was_changed_is_named_when_it_is_to_be_used(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store)
    known = store.verified(KEY).content
    assert store.verified(KEY, known).content == known
    (store.folder(KEY) / "model.bin").write_bytes(b"Weights")
    with pytest.raises(SecateurError, match=r"changed since it was recorded[\s\S]*model.bin"):
        store.verified(KEY)
    store.remove(KEY)
    put(store, b"others")
    with pytest.raises(SecateurError, match="another than the one"):
        store.verified(KEY, known)


@pytest.mark.parametrize(
    "meta",
    [
        "[]",
        '{"format": 1}',
        '{"format": 1, "kind": "x", "measures": {}, "observations": {}, "files": []}',
        '{"format": 1, "kind": "x", "measures": {}, "observations": {}, "files": {"a": 1}}',
        '{"format": 1, "kind": "x", "measures": {}, "observations": {}, "files": {"../a": {"sha256": "", "size": 1}}}',
        '{"format": 1, "kind": "x", "measures": {}, "observations": {}, "files": {}, "made_of": "x"}',
    ],
)
def test_what_others_wrote_in_place_of_an_object_is_none(tmp_path: Path, meta: str) -> None:
    store = Store(tmp_path)
    put(store)
    (store.folder(KEY) / "object.json").write_text(meta)
    assert store.get(KEY) is None
    assert store.damage(KEY) is not None
