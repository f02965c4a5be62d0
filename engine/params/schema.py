"""The preset format as a JSON Schema, for editors; made from the same declarations as everything else."""

from typing import Any

from engine.params import STEPS
from engine.params.base import Params
from engine.params.preset import Executor, Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SWEEP = {
    "type": "object",
    "description": "Parameters to vary, by dotted path (`prune.weights.sparsity`): a list of values or "
    "`0..0.9 by 0.1`. Every combination is a trial; lists below `zip` vary together.",
}
QUICK = {
    "type": "object",
    "description": "What to change for a small version of the preset, by dotted path; run with `--quick`.",
}


def schema() -> dict[str, Any]:
    """The whole schema, as plain JSON values.

    A step is its kind alone or a mapping of its kind to its parameters. What a schema can't say (paths of a sweep,
    orders of steps) the program checks.
    """
    whole, definitions = _declared("preset", Settings)
    steps = {}
    for kind, cls in STEPS.items():
        declared, below = _declared(kind, cls)
        definitions |= below
        # `- train:` is the step with its defaults, as `- train` is.
        steps[kind] = {"anyOf": [declared, {"type": "null"}], "description": declared.get("description", "")}
    definitions["step"] = {"anyOf": [{"enum": list(STEPS)}, _one_of(steps)]}
    place = whole["properties"]["executor"]
    reference = {"$ref": place.pop("$ref")}
    whole["properties"] |= {
        "executor": {"anyOf": [{"enum": list(Executor.model_fields)}, reference], **place},
        "steps": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}},
        "sweep": SWEEP,
        "quick": QUICK,
    }
    whole["required"] = [*whole.get("required", []), "steps"]
    return {"$schema": DIALECT, "title": "A preset of secateur", **whole, "$defs": definitions}


def _one_of(properties: dict[str, Any]) -> dict[str, Any]:
    """A mapping with exactly one of the keys."""
    return {
        "type": "object",
        "properties": properties,
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }


def _declared(owner: str, cls: type[Params]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of a group of parameters, and those of the groups in it by a name that no other owner's has."""
    declared = _plain(cls.model_json_schema(ref_template=f"#/$defs/{owner}.{{model}}"))
    below = {f"{owner}.{name}": definition for name, definition in declared.pop("$defs", {}).items()}
    return declared, below


def _plain(value: Any) -> Any:
    """Without pydantic's titles, which editors would show in place of names, and with variants by their name alone."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    # A parameter that is called `title` is a mapping, a title is a text.
    plain = {k: _plain(v) for k, v in value.items() if not (k == "title" and isinstance(v, str))}
    variants = plain.pop("discriminator", None)
    if variants is None:
        return plain
    return plain | {"oneOf": [{"enum": list(variants["mapping"])}, *plain["oneOf"]]}
