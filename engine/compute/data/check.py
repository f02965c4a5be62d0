"""The whole report on a preset's data, for `secateur data check` and the lab."""

from typing import Any

from engine.compute.data.images import Unreadable
from engine.compute.data.load import load
from engine.compute.data.look import look
from engine.compute.data.thumbnails import thumbnails
from engine.compute.data.words import report, summary
from engine.datasets import Location
from engine.params.data import Data


def check(params: Data, location: Location, images: int = 0) -> dict[str, Any]:
    """What the data are, as plain JSON values: what a `Look` has, its `text`, `notes` and `report`, and `thumbnails`.

    Of data with images that can't be read: `damaged`, all of them, and a `report` that names them. Raises
    SecateurError for whatever else is wrong.
    """
    try:
        data = load(params, location)
        seen = look(data, whole=True)
    except Unreadable as error:
        return {"damaged": [vars(one) for one in error.damaged], "report": _damaged(error)}
    result = seen.as_dict() | summary(seen) | {"report": report(seen)}
    return result | ({"thumbnails": thumbnails(data, images)} if images else {})


def _damaged(error: Unreadable) -> str:
    """Every image that can't be read, a line each."""
    lines = [f"  {one.place} ({one.reason})" for one in error.damaged]
    return "\n".join([f"images that can't be read: {len(lines)}", *lines, error.remedy])
