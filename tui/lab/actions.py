"""The lab screen's rows of the action table."""

from tui.action import Action

LAB: tuple[Action, ...] = ()
