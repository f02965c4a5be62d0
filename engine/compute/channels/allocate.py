"""Rates for each group from what an earlier `sensitivity` step found."""

from typing import Any

from engine.compute.channels.choose import Shares
from engine.errors import SecateurError


def shares_from(note: Any) -> Shares:
    """The share of each group's units that costs equal loss, as a function of a level from 0 to 1.

    Raises SecateurError when the model carries no note of a study of channels.
    """
    if not isinstance(note, dict) or note.get("of") != "channels":
        raise SecateurError(
            "scope sensitivity needs a sensitivity step before",
            "The model carries no rates for its channels.",
            "Put `sensitivity: {of: channels}` before prune.channels, or use another scope.",
        )
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in note["rows"]:
        curves.setdefault(row["layer"], []).append((row["rate"], row["validation_loss"]))
    for curve in curves.values():
        curve.sort()
    losses = [loss for curve in curves.values() for _, loss in curve]
    low, high = min(losses), max(losses)

    def shares(level: float) -> dict[str, float]:
        loss = low + level * (high - low)
        return {layer: _rate_at(curve, loss) for layer, curve in curves.items()}

    return shares


def _rate_at(curve: list[tuple[float, float]], loss: float) -> float:
    """The highest rate up to which the loss stays at `loss`, linear between the rates measured."""
    rate, before, highest = 0.0, -float("inf"), -float("inf")
    for next_rate, value in curve:
        highest = max(highest, value)
        if highest > loss:
            if before == -float("inf") or highest == before:
                return rate
            return rate + (next_rate - rate) * (loss - before) / (highest - before)
        rate, before = next_rate, highest
    return rate
