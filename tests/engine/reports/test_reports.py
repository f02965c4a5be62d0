"""Reports say what a study found, to anybody, whatever the names in it are; opened in a real browser."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.reports import html, markdown
from engine.reports.content import report, reported
from engine.reports.files import check, write
from engine.studies import notes
from engine.studies.rundir import RunDir
from engine.studies.state import load
from engine.testing import folders

MARKUP = (
    "<script>document.title='OWNED'</script><img src=http://tracker.invalid/x onerror=alert(1)>\"'|`</pre>"
)
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def made(folder: Path, *names: str) -> list[RunDir]:
    runs = []
    for name in names:
        study = folders.Study(folder / "w", name, sparsities=(0.0, 0.5, 0.9)).start()
        runs.append(study.finish().run)
    notes.write(runs[0], notes.changed(notes.NONE, f"for table 3 {MARKUP}", ["paper"]))
    return runs


def hostile(run: RunDir) -> None:
    """Everything that is free in the study's files becomes markup."""
    text = run.events.read_text("utf-8")
    for word in ("Fabricated CPU", "login1", "conv1.weight"):
        text = text.replace(word, json.dumps(word + MARKUP)[1:-1])
    run.events.write_text(text, "utf-8")


def drawn(runs: list[RunDir], folder: Path, name: str = "r.html") -> Path:
    return write([reported(run, load(run.path)) for run in runs], folder / name)


def test_both_forms_say_what_was_found(tmp_path: Path) -> None:
    runs = made(tmp_path, "a", "b")
    found = report([reported(run, load(run.path)) for run in runs], now=0.0)
    page, text = html.draw(found), markdown.draw(found)
    for said in ("trial 4", "smallest within 1 point", "a-1", "b-1", "for table 3", "#paper", "Together"):
        assert said.lower() in page.lower(), said
        assert said.lower().replace("#", "\\#") in text.lower(), said
    for said in ("prune.weights.sparsity: [0, 0.3", "secateur export a-1 model/ --trial", "layer1.0.conv1"):
        assert said in page and said in text
    assert page.count("<svg") == page.count("</svg>") >= 8
    assert "One seed" in page and "validation split" in text


@pytest.mark.parametrize(
    ("name", "why"), [("r.html", "It is a folder"), ("none/r.html", "There is no folder")]
)
def test_a_place_where_no_report_can_be_is_refused_with_the_reason(
    tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "r.html").mkdir()
    with pytest.raises(UsageError, match="can't be written") as refused:
        check(tmp_path / name)
    assert why in refused.value.detail


def test_names_are_text_wherever_they_stand(tmp_path: Path) -> None:
    runs = made(tmp_path, "a")
    hostile(runs[0])
    page = drawn(runs, tmp_path).read_text("utf-8")
    assert "tracker.invalid" in page
    for markup in ("<script", "<img", "onerror=alert(1)>", 'src="http'):
        assert markup not in page
    text = drawn(runs, tmp_path, "r.md").read_text("utf-8")
    outside = "".join(text.split("```")[::2])
    assert "tracker.invalid" in outside and "\\<script" in outside
    assert "<script" not in outside.replace("\\<", "")


def browse(page: Path, *options: str) -> tuple[str, str, list[str]]:
    """The document as the browser has it, what it wrote to its console, and what it asked any network for."""
    assert BROWSER
    log = page.with_suffix(".net.json")
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={page.parent / 'chrome'}",
    ]
    command += [
        "--enable-logging=stderr",
        f"--log-net-log={log}",
        "--disable-background-networking",
        *options,
    ]
    command += ["--no-first-run", "--disable-component-update", "--disable-sync", page.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True, text=True)
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return done.stdout, console, [word for word in ("tracker.invalid",) if word in log.read_text()]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here (Debian's package is called chromium)")
def test_a_browser_shows_a_report_without_network_or_errors(tmp_path: Path) -> None:
    from PIL import Image

    runs = made(tmp_path, "a")
    hostile(runs[0])
    page = drawn(runs, tmp_path)
    document, console, asked = browse(page, "--dump-dom")
    assert "<title>a-1</title>" in document and "<polyline" in document
    assert console == "" and asked == []
    picture = tmp_path / "r.png"
    browse(page, f"--screenshot={picture}", "--window-size=1000,1600")
    with Image.open(picture) as image:
        colours = image.convert("RGB").getcolors(1 << 20)
    assert colours is not None and len(colours) > 100  # text, curves, bars
    # The same eyes see a page that does what ours must not.
    bad = tmp_path / "bad.html"
    bad.write_text("<script>document.title='OWNED'; nothing()</script><img src=http://tracker.invalid/x>")
    document, console, asked = browse(bad, "--dump-dom")
    assert "OWNED" in document and "nothing is not defined" in console and asked


def test_a_note_is_written_and_taken_away(tmp_path: Path) -> None:
    (run,) = made(tmp_path, "a")
    notes.write(run, notes.Notes("old"))
    assert notes.read(run).text == "old"
    notes.write(run, notes.NONE)
    assert not run.notes.exists() and notes.read(run) == notes.NONE
