"""The lab's actions with files: new, open, save, and looking at what would be saved."""

from functools import partial
from pathlib import Path

from textual import work

from engine.errors import PresetInvalid, SecateurError
from engine.presets import shipped
from engine.presets.yaml.tree import to_yaml
from engine.store import paths
from engine.text.tables import abbreviate
from tui.lab.document import Document, read, typed_path, with_suffix
from tui.lab.outline import is_set
from tui.screens.lab_base import LabBase
from tui.screens.lab_texts import TextView, YamlView, diff_parts
from tui.session import Failed
from tui.widgets.confirm import Confirm, Prompt
from tui.widgets.outline import Outline
from tui.widgets.picker import Choice, Picker

MOST_FILES = 200
"""Preset files listed of a folder; more are better reached by typing the path."""


def here() -> Path:
    """The working folder; the home folder if that is gone."""
    try:
        return paths.here()
    except SecateurError:
        return paths.home() or Path("/")


def _shown(path: Path) -> str:
    """A file of the working folder by its name, any other by its path."""
    return path.name if path.parent == here() else str(path)


class FileActions(LabBase):
    """A part of the lab screen."""

    def show_document(self, document: Document, at: str = "model") -> None:
        """Edit another document, from the line `at` of its outline on."""
        self.document = document
        self.query_one(Outline).point_at(at)
        self.refresh_all(fresh=True)

    def before_quit(self) -> str:
        """What leaving now would lose."""
        self.flush()
        return f"Changes of {self.document.name} that are not saved" if self.document.dirty else ""

    async def _may_drop(self) -> bool:
        """Whether changes that are not saved may be lost; asks if there are any."""
        self.flush()
        if not self.document.dirty:
            return True
        question = f"Drop the changes of {self.document.name}?"
        detail = "They are not saved: they and their undo steps would be lost."
        confirm = Confirm(question, detail, "Drop them", "Keep editing")
        return await self.app.push_screen_wait(confirm)

    @work
    async def open(self, path: Path) -> None:
        """Edit the preset in a file; a study's own preset is opened as a new one."""
        if await self._may_drop():
            self._open(path)

    @work
    async def open_text(self, name: str, text: str) -> None:
        """Edit a preset that has no file yet."""
        if await self._may_drop():
            try:
                self.show_document(Document(read(text, name), name))
            except SecateurError as error:
                self.post_message(Failed(error))

    def _open(self, path: Path) -> None:
        try:
            self.show_document(self.read(path))
        except SecateurError as error:
            self.post_message(Failed(error))

    def read(self, path: Path) -> Document:
        """The preset in a file, a study's own as a new one. Raises SecateurError."""
        document, run = Document.open(path), self.session.run(path.parent.name)
        if path == run.preset:
            return Document(document.root, run.read_status().preset or run.name)
        return document

    @work
    async def action_new(self) -> None:
        if await self._may_drop():
            self.show_document(Document.new())

    @work
    async def action_compress(self) -> None:
        if is_set(self.document.root, "search"):
            self.say("This preset is a search already: F9 runs it")
        elif await self._may_drop():
            from engine.presets import compress

            sought = compress.instead(self.document.root.plain())
            name = f"compress-{self.document.name}"
            self.show_document(Document(read(to_yaml(sought), name), name), at="search")
            self.say("Set what may be lost, what should be small and for how long; F9 runs it")

    @work
    async def action_open(self) -> None:
        if not await self._may_drop():
            return
        from tui.views.previews import of_file

        choices = [Choice(str(path), _shown(path), "yours") for path in self._nearby()]
        choices += [Choice(str(one.path), one.name, one.about) for one in shipped.shipped()]
        picker = Picker(
            "Open a preset",
            choices,
            columns=("preset", "about"),
            own="the path of another file",
            preview=partial(of_file, history=self.history),
        )
        chosen = await self.app.push_screen_wait(picker)
        if chosen:
            name = chosen[0]
            try:
                path = typed_path(name)
            except SecateurError as error:
                self.post_message(Failed(error))
                return
            self._open(path)

    def _nearby(self) -> list[Path]:
        """Preset files of the working folder and of the one the document came from."""
        folders = {here()}
        if self.document.folder and not self.document.shipped:
            folders.add(self.document.folder)
        presets = []
        for folder in sorted(folders):
            try:
                presets += [path for path in sorted(folder.iterdir()) if path.suffix in shipped.SUFFIXES]
            except OSError:
                continue
        return presets[:MOST_FILES]

    @work
    async def action_save(self) -> None:
        self.flush()
        document = self.document
        if document.path is None or document.shipped:
            await self._save_as()
            return
        question = ""
        if document.changed_on_disk():
            question = f"{document.path.name} was changed or removed by somebody else. Replace it?"
        elif document.has_comments and document.dirty:
            question = f"The comments in {document.path.name} are not kept. Save?"
        if question and not await self.app.push_screen_wait(
            Confirm(question, str(document.path), "Save", "Cancel")
        ):
            return
        await self._write(document.path)

    @work
    async def action_save_as(self) -> None:
        await self._save_as()

    async def _save_as(self) -> None:
        self.flush()
        document = self.document
        folder = document.folder if document.folder and not document.shipped else here()
        start = str(folder / f"{document.name}.yaml")
        given = await self.app.push_screen_wait(
            Prompt("Save the preset as", start, "Its studies are called after it.")
        )
        if not given or not given.strip():
            return
        try:
            path = with_suffix(typed_path(given))
        except SecateurError as error:
            self.post_message(Failed(error))
            return
        if path.exists() and path != document.path:
            question = Confirm(
                f"Replace {path.name}?", f"{path} exists; what it holds would be lost.", "Replace", "Cancel"
            )
            if not await self.app.push_screen_wait(question):
                return
        if not path.parent.is_dir():
            question = Confirm("Make the folder?", f"There is no {path.parent} yet.", "Make it", "Cancel")
            if not await self.app.push_screen_wait(question):
                return
        await self._write(path)

    async def _write(self, path: Path) -> None:
        document = self.document
        try:
            if path == document.path and not document.shipped:
                document.save()
            else:
                document.save_as(path)
        except SecateurError as error:
            self.post_message(Failed(error))
            return
        self.refresh_all()
        self.say(f"Saved: {abbreviate(str(document.path), 60)}", "good")

    def action_yaml(self) -> None:
        self.flush()
        document, problems = self.document, self.checked.problems
        if problems:  # with the lines of the text that is shown
            from engine.presets import spec

            try:
                spec.parse(document.text, document.name, folder=document.folder)
            except PresetInvalid as invalid:
                problems = invalid.problems
        self.app.push_screen(YamlView(f"{document.name} as YAML", document.text, problems))

    def action_diff(self) -> None:
        self.flush()
        lines, changes = self.document.diff(), self.document.changes
        since = "since it was opened or saved" if self.document.path else "all of it, as there is no file yet"
        parts = diff_parts(lines) if lines else [("Nothing was changed.", "")]
        if changes:
            parts += [(" ", ""), ("Undo takes back, one after the other:", "title")]
            parts += [(f"  {number}  {label}", "") for number, label in enumerate(changes, 1)]
        self.app.push_screen(TextView(f"Changes of {self.document.name} {since}", parts))
