"""The lab's actions that change the preset."""

import asyncio
from typing import TYPE_CHECKING, Any

from textual import work

from tui.lab import edits, outline, tree
from tui.lab.check import validate
from tui.lab.fields import Field, fields_of, problems_at, says
from tui.lab.outline import ADD, Item, trials_text
from tui.lab.text import text_of
from tui.lab.tree import ABSENT, Plain, Spot
from tui.screens.lab_base import LabBase
from tui.screens.lab_sweep import SweepEditor
from tui.widgets.form import Form
from tui.widgets.outline import Outline
from tui.widgets.picker import Choice, Picker

if TYPE_CHECKING:
    from tui.lab.catalogue import Entry


class EditActions(LabBase):
    """A part of the lab screen."""

    def change(self, plain: Plain, label: str) -> None:
        """Take a change and show it."""
        self.document.close_change()
        if self.document.apply(plain, label):
            self.refresh_all()

    @property
    def selected_step(self) -> int | None:
        """The step under the outline's cursor, or the one whose form is open."""
        item = self.query_one(Outline).item
        return item.owner if item and isinstance(item.owner, int) else None

    @property
    def selected_field(self) -> Field | None:
        """The field to act on: the form's, or that of the sweep under the outline's cursor."""
        form = self.query_one(Form)
        item = self.query_one(Outline).item
        if form.focused or (item and item.axis):
            return form.field
        return None

    async def choose(self, item: Item) -> None:
        """What Enter does on a line of the outline."""
        if item.key == ADD:
            self.action_add()
        elif item.key == "model":
            self.action_pick_model()
        elif item.key == "data":
            self.action_pick_data()
        elif item.axis is not None:
            self.action_sweep()
        else:
            self.query_one(Form).focus_row()

    def action_cycle(self, by: int) -> None:
        form = self.query_one(Form)
        if not form.focused:
            if by > 0 and self.focused is self.query_one(Outline):
                form.focus_row()
            return
        field = form.field
        if field is not None and field.axis is not None:
            self.say("It is swept: F8 changes its values, ^r ends the sweep", "warn")
        else:
            form.cycle(by)

    def action_default(self) -> None:
        self.flush()
        field = self.selected_field
        if field is None:
            self.say("Select a parameter in the form first")
            return
        if field.row.required:
            self.say(f"{field.label} has no default: it has to be given", "warn")
            return
        self.change(edits.reset(self.document.plain, field.spot), f"set {field.label} to its default")

    def action_undo(self) -> None:
        self.flush()
        label = self.document.undo()
        self.refresh_all()
        self.say(f"Undone: {label}" if label else "Nothing to undo")

    def action_redo(self) -> None:
        self.flush()
        label = self.document.redo()
        self.refresh_all()
        self.say(f"Done again: {label}" if label else "Nothing to redo")

    # Steps

    @work
    async def action_add(self) -> None:
        self.flush()
        from tui.lab import catalogue

        choices = [Choice(entry.name, entry.name, entry.about) for entry in catalogue.steps()]
        picker = Picker("Add a step", choices, columns=("step", "what it does"))
        chosen = await self.app.push_screen_wait(picker)
        if not chosen:
            return
        after = self.selected_step
        at = len(tree.steps(self.document.plain)) if after is None else after + 1
        plain, at = edits.add_step(self.document.plain, chosen[0], at)
        self._change_step(plain, f"add {chosen[0]}", at)

    def action_remove(self) -> None:
        self.flush()
        item = self.query_one(Outline).item
        plain = self.document.plain
        axis = next((axis for axis in tree.axes(plain) if item and axis.path == item.axis), None)
        if axis is not None:
            self.change(edits.drop_axis(plain, axis), f"end the sweep of {axis.path}")
            self.say(f"No longer swept: {axis.path} (u takes it back)")
        elif self._on_step():
            name = tree.address(plain, self._step())
            self.change(edits.remove_step(plain, self._step()), f"remove {name}")
            self.say(f"Removed: {name} (u takes it back)")

    def action_duplicate(self) -> None:
        self.flush()
        if self._on_step():
            name = tree.address(self.document.plain, self._step())
            plain, at = edits.duplicate_step(self.document.plain, self._step())
            self._change_step(plain, f"copy {name}", at)

    def action_switch(self) -> None:
        self.flush()
        if self.query_one(Form).focused:
            self.action_cycle(1)
        elif self._on_step():
            name = tree.address(self.document.plain, self._step())
            self.change(edits.toggle_step(self.document.plain, self._step()), f"switch {name} off or on")

    def action_shift(self, by: int) -> None:
        self.flush()
        if self._on_step():
            name = tree.address(self.document.plain, self._step())
            plain, at = edits.move_step(self.document.plain, self._step(), by)
            self._change_step(plain, f"move {name}", at)

    def _on_step(self) -> bool:
        if self.selected_step is None:
            self.say("Select a step in the outline first")
        return self.selected_step is not None

    def _step(self) -> int:
        assert self.selected_step is not None
        return self.selected_step

    def _change_step(self, plain: Plain, label: str, at: int) -> None:
        """Take a change and put the cursor on the step it was about."""
        self.document.close_change()
        if self.document.apply(plain, label):
            outline_ = self.query_one(Outline)
            outline_.fill(outline.items(plain, ()))
            outline_.point_at(f"step:{at}")
            self.refresh_all()

    # Sweeps

    @work
    async def action_sweep(self) -> None:
        self.flush()
        field = self.selected_field
        if field is None or not field.sweepable:
            what = "cannot differ between trials" if field else "Select a parameter in the form first"
            self.say(f"{field.label} {what}" if field else what, "warn")
            return
        if field.options:
            values = await self._pick_values(field)
        else:
            path = tree.swept_path(self.document.plain, field.spot)
            values = await self.app.push_screen_wait(SweepEditor(field, path, self._preview(field)))
        if values is None:
            return
        self._set_values(field, values)

    def _set_values(self, field: Field, values: Any) -> None:
        plain, spot = self.document.plain, field.spot
        if values == []:
            old = tree.axis_values(field.axis) if field.axis else []
            plain = edits.fix(plain, spot, old[0] if old else ABSENT) if field.axis else plain
        else:
            plain = edits.put_axis(plain, spot, values)
        self.change(plain, f"sweep {field.label}")

    async def _pick_values(self, field: Field) -> list[Any] | None:
        """Choose among the values of a choice; a single one is no sweep."""
        now = tree.axis_values(field.axis) if field.axis else []
        marked = [text_of(value) for value in now] or [field.current]
        title = f"Values of {field.label} to try: a trial for each that is marked"
        choices = [Choice(option, option) for option in field.options if option != "none"]
        chosen = await self.app.push_screen_wait(Picker(title, choices, marked, several=True))
        if chosen is None or set(chosen) == set(marked):
            return None
        by_text = {text_of(value): value for value in (*field.row.choices, True, False)}
        values = [by_text[option] for option in chosen]
        if len(values) == 1:
            self.change(edits.put(self.document.plain, field.spot, values[0]), f"set {field.label}")
            return None
        return values

    def _preview(self, field: Field) -> Any:
        """A function that says what values a sweep would take, or what is wrong with them."""
        document = self.document

        def preview(values: Any) -> tuple[bool, str]:
            plain = edits.put_axis(document.plain, field.spot, values)
            found, problems = validate(plain, document.name, document.folder)
            owner = field.spot.step if field.spot.step is not None else field.spot.path.partition(".")[0]
            again = next((one for one in fields_of(plain, owner) if one.spot == field.spot), field)
            told = [says(problem) for problem in problems_at(plain, again, problems)]
            if told:
                return False, f"! {told[0]}"
            axis = tree.axis_at(plain, field.spot)
            taken = tree.axis_values(axis) if axis else []
            total = f", {trials_text(len(found.trials))} in all" if found else ""
            return True, f"{len(taken)} values{total}: {text_of(taken)}"

        return preview

    def action_together(self) -> None:
        self.flush()
        field = self.selected_field
        if field is None or field.axis is None:
            self.say("Select a sweep first")
            return
        others = len(tree.axes(self.document.plain)) - 1
        if not field.axis.zipped and not others:
            self.say("There is no other sweep to vary together with")
            return
        plain = edits.set_together(self.document.plain, field.spot, not field.axis.zipped)
        self.change(plain, f"sweep {field.label} together or apart")

    # Model and data

    @work
    async def action_pick_model(self) -> None:
        from tui.lab import catalogue

        await self._pick("Model", catalogue.models(), Spot(None, "model.name"))

    @work
    async def action_pick_data(self) -> None:
        from tui.lab import catalogue

        entries = await asyncio.to_thread(catalogue.data_sets, self.session.workspace)
        await self._pick("Data set", entries, Spot(None, "data.name"))

    async def _pick(self, title: str, entries: "list[Entry]", spot: Spot) -> None:
        self.flush()
        now = tree.value(self.document.plain, spot)
        choices = [Choice(entry.name, entry.name, entry.told) for entry in entries]
        title = f"{title} (or type your own in the form: path/file.py:function)"
        chosen = await self.app.push_screen_wait(
            Picker(title, choices, [str(now)], columns=("name", "about"))
        )
        if chosen:
            self.change(edits.put(self.document.plain, spot, chosen[0]), f"choose {chosen[0]}")
            missing = next((entry.missing for entry in entries if entry.name == chosen[0]), "")
            if missing:
                self.say(f"{chosen[0]} is not here: {missing}", "warn")
