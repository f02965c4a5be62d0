"""The lab's actions that change the preset."""

import asyncio
from typing import TYPE_CHECKING, Any

from textual import work

from engine.presets import edits
from engine.presets.addresses import ABSENT, axes, axis_at, path_of, value_at
from engine.presets.edits import Edit
from engine.presets.steps import Address, StepNode, step_at, steps_of
from engine.presets.yaml.tree import node_of
from engine.text.phrases import counted
from tui.lab.check import validate
from tui.lab.fields import Field, choice, fields_of, said_at, says_where
from tui.lab.outline import ADD, Item
from tui.lab.text import Fixed, text_of
from tui.screens.lab_base import LabBase
from tui.screens.lab_sweep import SweepEditor
from tui.widgets.form import Form
from tui.widgets.outline import Outline
from tui.widgets.picker import Choice, Picker

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui.lab.catalogue import Entry
    from tui.widgets.pager import Builder

OWN = "path/file.py:function"


class EditActions(LabBase):
    """A part of the lab screen."""

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
        elif item.key == "executor":
            self.action_pick_place()
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

    @work
    async def action_choose_value(self) -> None:
        """Choose a value of a choice from a list that says what each means."""
        form = self.query_one(Form)
        field = form.field
        if field is None or not field.options:
            return
        choices = [Choice(option, option, field.meaning(option)) for option in field.options]
        picker = Picker(
            field.label, choices, [field.current], columns=("value", "what it means"), about=field.row.help
        )
        chosen = await self.app.push_screen_wait(picker)
        if chosen and chosen[0] != field.current:
            self.enter(field, choice(field, chosen[0]))

    @work
    async def action_check(self) -> None:
        """Choose what a list of choices holds."""
        field = self.query_one(Form).field
        if field is None or not field.checks:
            return
        now = [text_of(value) for value in _listed(field)]
        choices = [Choice(option, option, field.meaning(option)) for option in field.checks]
        picker = Picker(
            field.label, choices, now, several=True, columns=("value", "what it means"), about=field.row.help
        )
        chosen = await self.app.push_screen_wait(picker)
        if chosen is None or chosen == now:
            return
        by_text = {text_of(value): value for value in field.row.choices}
        self.enter(field, Fixed([by_text[option] for option in chosen]))

    def action_default(self) -> None:
        self.flush()
        field = self.selected_field
        if field is None:
            self.say("Select a parameter in the form first")
            return
        if field.row.required:
            self.say(f"{field.label} has no default: it has to be given", "warn")
            return
        self.change(lambda root: edits.reset(root, field.address), f"set {field.label} to its default")

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
        from tui.views import previews

        choices = [Choice(entry.name, entry.name, entry.about) for entry in catalogue.steps()]
        picker = Picker("Add a step", choices, columns=("step", "what it does"), preview=previews.of_step)
        chosen = await self.app.push_screen_wait(picker)
        if not chosen:
            return
        after = self.selected_step
        at = self._count() if after is None else after + 1
        self._change_step(lambda root: edits.add_step(root, chosen[0], at), f"add {chosen[0]}", at)

    def action_remove(self) -> None:
        self.flush()
        item = self.query_one(Outline).item
        axis = self._selected_axis(item)
        if axis is not None:
            self.change(lambda root: edits.drop_axis(root, axis), f"end the sweep of {axis.path}")
            self.say(f"No longer swept: {axis.path} (u takes it back)")
        elif (step := self._step()) is not None:
            self.change(lambda root: edits.remove_step(root, step.index), f"remove {step.name}")
            self.say(f"Removed: {step.name} (u takes it back)")

    def action_duplicate(self) -> None:
        self.flush()
        if (step := self._step()) is not None:
            at = step.index
            self._change_step(lambda root: edits.copy_step(root, at), f"copy {step.name}", at + 1)

    def action_switch(self) -> None:
        self.flush()
        if self.query_one(Form).focused:
            self.action_cycle(1)
        elif (step := self._step()) is not None:
            self.change(lambda root: edits.switch_step(root, step.index), f"switch {step.name} off or on")

    def action_shift(self, by: int) -> None:
        self.flush()
        if (step := self._step()) is not None:
            to = max(0, min(self._count() - 1, step.index + by))
            self._change_step(lambda root: edits.move_step(root, step.index, to), f"move {step.name}", to)

    def _step(self) -> StepNode | None:
        """The step to act on."""
        if self.selected_step is None:
            self.say("Select a step in the outline first")
            return None
        return step_at(self.document.root, self.selected_step)

    def _count(self) -> int:
        return len(steps_of(self.document.root)[0])

    def _change_step(self, edit: Edit, label: str, at: int) -> None:
        """Make a change and put the cursor on the step it was about."""
        if self.change(edit, label):
            self.query_one(Outline).point_at(f"step:{at}")
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
            path = path_of(self.document.root, field.address)
            values = await self.app.push_screen_wait(SweepEditor(field, path, self._preview(field)))
        if values is None:
            return
        self._set_values(field, values)

    def _set_values(self, field: Field, values: Any) -> None:
        label, axis = f"sweep {field.label}", field.axis
        if values != []:
            self.change(lambda root: edits.sweep(root, field.address, node_of(values)), label)
        elif axis is not None:
            self.change(lambda root: edits.drop_axis(root, axis), label)

    async def _pick_values(self, field: Field) -> list[Any] | None:
        """Choose among the values of a choice; a single one is no sweep."""
        now = field.axis.values() if field.axis else []
        marked = [text_of(value) for value in now] or [field.current]
        title = f"Values of {field.label} to try: a trial for each that is marked"
        choices = [
            Choice(option, option, field.meaning(option)) for option in field.options if option != "none"
        ]
        columns = ("value", "what it means")
        chosen = await self.app.push_screen_wait(
            Picker(title, choices, marked, several=True, columns=columns)
        )
        if not chosen or set(chosen) == set(marked):
            return None
        by_text = {text_of(value): value for value in (*field.row.choices, True, False)}
        values = [by_text[option] for option in chosen]
        if len(values) == 1:
            value = node_of(values[0])
            self.change(lambda root: edits.put(root, field.address, value), f"set {field.label}")
            return None
        return values

    def _preview(self, field: Field) -> Any:
        """A function that says what values a sweep would take, or what is wrong with them."""
        document = self.document

        def preview(values: Any) -> tuple[bool, str]:
            address = field.address
            root = edits.sweep(document.root, address, node_of(values))
            read_spec, problems = validate(root, document.name, document.folder)
            owner = address.step if address.step is not None else address.path.partition(".")[0]
            again = next((one for one in fields_of(root, owner) if one.address == address), field)
            description = said_at(root, again, problems)
            if description:
                return False, f"! {description[0]}"
            axis = axis_at(root, address)
            taken = axis.values() if axis else []
            total = f", {counted(len(read_spec.trials), 'trial')} in all" if read_spec else ""
            return True, f"{counted(len(taken), 'value')}{total}: {text_of(taken)}"

        return preview

    def action_together(self) -> None:
        self.flush()
        field = self.selected_field
        if field is None or field.axis is None:
            self.say("Select a sweep first")
            return
        together = not field.axis.zipped
        if together and len(axes(self.document.root)) < 2:
            self.say("There is no other sweep to vary together with")
            return
        label = f"sweep {field.label} together or apart"
        self.change(lambda root: edits.set_together(root, field.address, together), label)

    # Model and data

    @work
    async def action_pick_model(self) -> None:
        from tui.lab import catalogue
        from tui.views.previews import of_model

        models, address = catalogue.models(), Address(None, "model.name")
        await self._pick("Model", models, address, of_model, catalogue.FACTS)

    @work
    async def action_pick_data(self) -> None:
        from tui.lab import catalogue
        from tui.views.previews import of_entry

        entries = await asyncio.to_thread(catalogue.data_sets, self.session.workspace)
        await self._pick("Data set", entries, Address(None, "data.name"), of_entry)

    @work
    async def action_pick_place(self) -> None:
        """This machine, the cluster as the site has settled it, or one of its partitions."""
        from tui.lab import catalogue

        self.flush()
        group, name = Address(None, "executor.slurm"), Address(None, "executor.slurm.partition")
        now = value_at(self.document.root, name)
        if now in (ABSENT, None):
            settled = self.checked.settled and not says_where(self.document.root)
            here = value_at(self.document.root, group) in (ABSENT, None)
            now = catalogue.HERE if here and not settled else catalogue.CLUSTER
        entries = await asyncio.to_thread(catalogue.places)
        choices = [Choice(entry.name, entry.name, entry.description) for entry in entries]
        chosen = await self.app.push_screen_wait(
            Picker("Where to run", choices, [str(now)], columns=("where", "about"))
        )
        if not chosen:
            return
        if chosen[0] == catalogue.HERE:
            elsewhere = self.checked.settled  # by default, so that this machine has to be named
            self.change(
                lambda root: edits.put(root, group, node_of(None)) if elsewhere else edits.reset(root, group),
                "run on this machine",
            )
        elif chosen[0] == catalogue.CLUSTER:
            self.change(lambda root: edits.put(edits.reset(root, name), group, node_of({})), "run by Slurm")
        else:
            partition = node_of(chosen[0])
            self.change(lambda root: edits.put(root, name, partition), f"run in partition {chosen[0]}")

    async def _pick(
        self,
        title: str,
        entries: "list[Entry]",
        address: Address,
        tell: "Callable[[Entry], Builder]",
        about: str = "about",
    ) -> None:
        from tui.views.previews import as_typed

        self.flush()
        now = value_at(self.document.root, address)
        by_name = {entry.name: entry for entry in entries}
        choices = [Choice(entry.name, entry.name, entry.description) for entry in entries]
        picker = Picker(
            title,
            choices,
            [str(now)],
            columns=("name", about),
            own=f"your own: {OWN}",
            preview=lambda name: tell(by_name[name]) if name in by_name else as_typed(name),
        )
        chosen = await self.app.push_screen_wait(picker)
        if chosen:
            name = node_of(chosen[0])
            self.change(lambda root: edits.put(root, address, name), f"choose {chosen[0]}")
            missing = next((entry.missing for entry in entries if entry.name == chosen[0]), "")
            if missing:
                self.say(f"{chosen[0]} is not here: {missing}", "warn")


def _listed(field: Field) -> list[Any]:
    """The items of the list that holds, default or not."""
    value = field.row.default if field.value is ABSENT else field.value
    return value if isinstance(value, list) else [] if value is None else [value]
