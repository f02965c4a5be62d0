"""The benchmark of what people bring comes to its end and finds nothing wrong."""

import pytest

from benchmarks import bring


def test_the_quick_version_finds_nothing_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bring", "--quick"])
    assert bring.main() == 0, capsys.readouterr().out
    assert f"{len(bring.QUICK)} cases, 0 wrong" in capsys.readouterr().out
