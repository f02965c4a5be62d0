"""Following studies from a thread: what is posted, and what odd folders do to it."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.message import Message

from engine.results import pick
from engine.results.kept import repicked
from engine.studies import events as ev
from engine.studies.log import EventLog
from engine.studies.rundir import RunDir
from engine.studies.state import load
from engine.studies.status import Status
from engine.testing import folders as fabricate
from tui.views import log
from tui.work import reading, watch
from tui.work.messages import StudiesChanged, StudyChanged
from tui.work.reading import snapshot
from tui.work.watch import Watcher


class Inbox:
    """Takes messages as a widget would."""

    def __init__(self) -> None:
        self.studies: list[StudyChanged] = []
        self.lists: list[StudiesChanged] = []

    def post_message(self, message: Message) -> bool:
        if isinstance(message, StudyChanged):
            self.studies.append(message)
        elif isinstance(message, StudiesChanged):
            self.lists.append(message)
        return True


def soon(true: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_its_thread_posts_what_a_subscriber_has_missed_and_what_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "TICK_S", 0.02)
    study = fabricate.Study(tmp_path).start()
    watcher, inbox = Watcher(tmp_path), Inbox()
    watcher.subscribe(inbox, study.run.name)  # type: ignore[arg-type]
    watcher.watch_list(inbox)  # type: ignore[arg-type]
    watcher.start()
    soon(lambda: inbox.studies and inbox.lists)
    study.finish()
    soon(lambda: inbox.studies[-1].state.status == "done")
    soon(lambda: inbox.lists[-1].studies[0].status.state == "done")
    watcher.stop()


def test_a_subscriber_gets_the_state_now_and_then_only_changes(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path).start()
    watcher, inbox = Watcher(tmp_path), Inbox()
    watcher.subscribe(inbox, study.run.name)  # type: ignore[arg-type]
    for _ in range(3):
        watcher.look_now()
        assert len(inbox.studies) == 1
    study.trial(0)
    watcher.look_now()
    assert inbox.studies[-1].state.done == 1
    study.finish()
    watcher.look_now()
    assert inbox.studies[-1].state.status == "done"
    assert inbox.studies[-1].state == load(study.run.path)


def test_a_posted_state_is_never_changed_afterwards(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path).start()
    before = snapshot(study.state)
    study.trial(0)
    assert before.done == 0
    assert before.trials[0].steps[0] is before.steps[before.trials[0].steps[0].key]
    assert study.state.done == 1


def test_a_folder_may_vanish_and_come_back(tmp_path: Path) -> None:
    study = fabricate.finished(tmp_path)
    watcher, inbox = Watcher(tmp_path), Inbox()
    watcher.subscribe(inbox, study.run.name)  # type: ignore[arg-type]
    watcher.look_now()
    assert inbox.studies[-1].state.status == "done"
    kept = tmp_path / "kept"
    shutil.move(study.run.path, kept)
    watcher.look_now()
    assert inbox.studies[-1].state.status == "unreadable"
    shutil.move(kept, study.run.path)
    watcher.look_now()
    assert inbox.studies[-1].state.status == "done"


def test_the_list_follows_what_comes_changes_and_goes(tmp_path: Path) -> None:
    watcher, inbox = Watcher(tmp_path), Inbox()
    watcher.watch_list(inbox)  # type: ignore[arg-type]
    watcher.look_now()
    assert inbox.lists[-1].studies == ()
    study = fabricate.Study(tmp_path).start()
    watcher.look_now()
    assert inbox.lists[-1].studies[0].status.state == "running"
    study.finish()
    watcher.look_now()
    assert inbox.lists[-1].studies[0].status.state == "done"
    posted = len(inbox.lists)
    for _ in range(3):
        watcher.look_now()
    assert len(inbox.lists) == posted
    shutil.rmtree(study.run.path)
    watcher.look_now()
    assert inbox.lists[-1].studies == ()


def test_the_pick_by_another_threshold_is_chosen_anew_when_a_trial_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every look would else read all events of every study that runs."""

    def counted(run: RunDir, status: Status, asked: pick.Asked) -> Status:
        chosen.append(status.done)
        return repicked(run, status, asked)

    chosen: list[int] = []
    monkeypatch.setattr(reading, "repicked", counted)
    study, asked = fabricate.Study(tmp_path).start(), 50.0
    for trial in range(3):
        study.trial(trial)
    listing = reading.Listing(tmp_path)
    for _ in range(3):
        listing.look(lambda _: asked, everything=True)
    assert chosen == [3] and listing.rows[0].status.pick["allowed"] == 0.5
    study.trial(3)
    listing.look(lambda _: asked, everything=True)
    assert chosen == [3, 4] and listing.rows[0].status.done == 4
    asked = 40.0
    listing.look(lambda _: asked, everything=True)
    assert chosen == [3, 4, 4] and listing.rows[0].status.pick["allowed"] == 0.4


def test_a_heartbeat_alone_posts_nothing(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path).start()
    watcher, inbox = Watcher(tmp_path), Inbox()
    watcher.watch_list(inbox)  # type: ignore[arg-type]
    watcher.look_now()
    for _ in range(5):
        study.status("running")
        watcher.look_now()
    assert len(inbox.lists) == 1


def test_a_study_whose_tasks_write_their_own_files_moves_on_too(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path).start()
    watcher, inbox = Watcher(tmp_path), Inbox()
    watcher.subscribe(inbox, study.run.name)  # type: ignore[arg-type]
    tail = log.Events(study.run)
    for number in (1, 2):
        study.run.task_events.mkdir(exist_ok=True)
        EventLog(study.run.task_events / f"7_{number}.jsonl").append(
            ev.Notice(level="info", text=f"n{number}")
        )
        watcher.look_now()
        assert [notice.text for notice in inbox.studies[-1].state.notices][-1] == f"n{number}"
        lines = tail.read()
        assert lines is not None and f"n{number}" in lines[-1]
        assert tail.read() is None


def test_what_tasks_printed_stands_below_the_names_of_their_files(tmp_path: Path) -> None:
    run = fabricate.Study(tmp_path).run
    tail = log.Logs(run)
    assert tail.read() is None
    run.log.write_text("engine\n")
    assert tail.read() == ["engine"]
    run.slurm.mkdir()
    for number in (1, 2):
        (run.slurm / f"s.trials-7_{number}.log").write_text(f"n{number}\n")
    lines = tail.read()
    assert lines is not None
    assert lines == [
        "engine.log:",
        "engine",
        "",
        "s.trials-7_1.log:",
        "n1",
        "",
        "s.trials-7_2.log:",
        "n2",
        "",
    ]
    assert tail.read() is None


def test_lines_of_several_files_are_in_the_order_of_their_times_however_they_arrive(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path)
    study.run.task_events.mkdir(exist_ok=True)
    files = [study.run.task_events / f"7_{number}.jsonl" for number in (1, 2)]
    tail, later = log.Events(study.run), time.time() + 60
    # The second task's lines arrive first, one of them is torn, and the last file is begun anew.
    for number, texts in ((1, ["b", "d"]), (0, ["a"]), (0, ["c", "e"]), (1, ["torn", "f"])):
        with files[number].open("ab") as file:
            for text in texts:
                line = ev.to_line(ev.Notice(level="info", text=text, time=later + ord(text[0])))
                file.write(line if text != "torn" else b"torn\n")
        lines = tail.read()
    assert lines is not None
    texts = [event.text for line in lines if isinstance(event := ev.parse_line(line.encode()), ev.Notice)]
    assert "".join(texts) == "abcdef"
    assert lines[lines.index("torn") - 1] == next(line for line in lines if '"d"' in line)
    files[1].write_bytes(ev.to_line(ev.Notice(level="info", text="z", time=later + ord("z"))))
    lines = tail.read()
    assert lines is not None
    texts = [event.text for line in lines if isinstance(event := ev.parse_line(line.encode()), ev.Notice)]
    assert "".join(texts) == "acez"
