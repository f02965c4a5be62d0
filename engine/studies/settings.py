"""A study's settings as they were validated when it began: kept beside its preset, so that nobody parses it again.

Only what needs the steps too (its engine, a replay) reads the preset.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from engine.errors import SecateurError
from engine.measures.table import QUALITIES
from engine.params.catalog import DETECTION
from engine.params.preset import Pick, Plot, Settings
from engine.params.search import MOST_ACCURATE
from engine.presets import limits
from engine.presets.spec import Spec, read_stored
from engine.store.files import read_json
from engine.store.keys import file_hash
from engine.text.visible import json_text


def rule(settings: Settings) -> Pick:
    """By which rule a study's model is picked: as the preset says, or by what its search asks for."""
    if settings.search is None:
        return settings.pick
    wanted = limits.of_search(settings.search)
    allowed = limits.loss(wanted)
    return Pick(
        by=settings.search.goal,
        within=100.0 if allowed is None else 100 * allowed,
        limits={name: value for name, value in settings.search.within.items() if name not in QUALITIES},
    )


def plot(settings: Settings) -> Plot | None:
    """The chart of a study: as the preset says, or of a search what it is after against accuracy on validation."""
    if settings.plot is not None or settings.search is None:
        return settings.plot
    goal, boxes = settings.search.goal, settings.data.name in DETECTION
    along = (
        goal
        if goal != MOST_ACCURATE
        else next((n for n in settings.search.within if n not in QUALITIES), "macs")
    )
    return Plot(x=along, y=f"validation_{QUALITIES[boxes]}")


@dataclass(frozen=True)
class StudySettings:
    """The settings of each trial, by its index; there is at least one."""

    trials: tuple[Settings, ...]

    @property
    def plot(self) -> Plot | None:
        """The chart that the preset asks for, or its search; it is the same for all trials."""
        return plot(self.trials[0])

    @property
    def pick(self) -> Pick:
        """By which rule a model is picked; it is the same for all trials."""
        return rule(self.trials[0])

    def of_trial(self, index: int) -> Settings:
        """Raises SecateurError where the preset makes fewer trials than the study has."""
        if index < len(self.trials):
            return self.trials[index]
        if self.trials[0].search is not None:  # its trials differ in their steps, and finalists in their seed
            return self.trials[0]
        raise SecateurError(
            f"The study's preset makes no trial {index}",
            f"It makes {len(self.trials)} trials: it was changed since the study began.",
            "Run the preset as a new study.",
        )


def to_json(spec: Spec, preset: str) -> str:
    """What `read` finds later in `settings.json`; `preset` is the text of the study's `preset.yaml`.

    Settings that differ stand there once each, and for every trial which of them it has. The SHA-256 tells of
    which text they are: those of another are not this study's.
    """
    distinct: dict[str, int] = {}
    trials = [distinct.setdefault(trial.settings.model_dump_json(), len(distinct)) for trial in spec.trials]
    digest = hashlib.sha256(preset.encode()).hexdigest()
    settings = [json.loads(text) for text in distinct]
    return json_text({"preset": digest, "settings": settings, "trials": trials}) + "\n"


def read(file: Path, preset: Path) -> StudySettings:
    """The settings in `file`; where it is missing, damaged or of another text, those that `preset` gives now.

    Raises SecateurError where the preset is needed and can't be read.
    """
    kept = _kept(file, preset)
    return kept or StudySettings(tuple(trial.settings for trial in read_stored(preset).trials))


def _kept(file: Path, preset: Path) -> StudySettings | None:
    content = read_json(file)
    if not isinstance(content, dict):
        return None
    try:
        if not content["trials"] or content["preset"] != file_hash(preset):
            return None
        distinct = dict(enumerate(map(Settings.model_validate, content["settings"])))
        return StudySettings(tuple(distinct[place] for place in content["trials"]))
    except (OSError, ValueError, LookupError, TypeError):  # of another version, or not ours at all
        return None
