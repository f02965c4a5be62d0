"""Which files an addition touches, as data: `tools.docs` prints it into the docs, `test_recipes` counts it.

Each recipe has an example that is there already; whatever of the product names the example is in the recipe's list, in
the example's own files, or excused with a reason.
"""

from dataclasses import dataclass, field

MOST = 4
"""Files that an addition touches besides its own and its tests."""


@dataclass(frozen=True)
class Recipe:
    """How something is added.

    Attributes:
        about: What to write first, in its own files.
        example: One that is there, as users know it.
        own: The example's own files.
        touches: The other files, and what each gets.
        named: A regular expression that finds where code names the example.
        excused: Files that name it for another reason.
        further: What is to be done beyond the list where it goes beyond the ordinary.
    """

    about: str
    example: str
    own: tuple[str, ...]
    touches: dict[str, str]
    named: str
    excused: dict[str, str] = field(default_factory=dict)
    further: str = ""


RECIPES: dict[str, Recipe] = {
    "technique": Recipe(
        "A frozen class of parameters, which says what the step makes, clears and would undo, and which of its "
        "numbers say how far it goes (`extents`); and a function `(model, params, context) -> model`. Presets, "
        "forms, commands, the order of steps, what a search knows of it and the docs follow from the class.",
        "quantize.weights",
        (
            "engine/params/quantize_weights.py",
            "engine/compute/steps/quantization/weights.py",
            "engine/compute/steps/quantization/grids.py",
            "engine/compute/layers/grids.py",
        ),
        {
            "engine/params/__init__.py": "the class: its import, the union `Step`, its row of `CLASSES`",
            "engine/compute/steps/apply.py": "a case that calls the function",
            "engine/params/overlays.py": "if it lays something new over weights: its name in `Overlay`, and in "
            "`EXCLUSIVE` what it can't lie with",
            "engine/compute/layers/overlays.py": "if so, a row of `KINDS`: how a checkpoint keeps it",
        },
        r"quantize\.weights|QuantizeWeights|quantize_weights|Overlay\.GRID|UniformGrid",
        {
            "engine/compute/steps/quantization/calibrate.py": "an error's remedy recommends it",
            "engine/presets/auto.py": "what a search tries where nobody says what to search over",
            "engine/compute/steps/sensitivity.py": "measures what fewer bits cost each layer",
            "engine/compute/worker/knob/bits.py": "one of the techniques that the live knob turns",
        },
        "`engine/compute/steps/clustering/kernels.py` is a short step to read first. The function\n\n"
        "- puts the model on `context.device` (`to_device`), and may change it in place;\n"
        "- takes its layers from `prunable_layers`, and leaves alone those that `changeable` refuses, because the "
        "network's own code does something else with their weights;\n"
        "- reports by `context`: `part` or `progress` how far it is, `notice` what users should know, `observations` "
        "what it measured;\n"
        "- records a change of the structure with `edits.record`; `engine/compute/models/edits.py` then gets a case "
        "that repeats it when a checkpoint is loaded;\n"
        "- raises `SecateurError` where the network has nothing for it to work on; a case in "
        "`engine/compute/steps/fits.py` has that found out before anything is trained.\n\n"
        "An entry in `PARAMETERS` of `tests/engine/compute/steps/test_pairs.py` tries the step before and after all "
        "others.\n\n"
        "A form of its own in the packed file, as grids have it, also takes "
        "`engine/compute/measures/packed.py`, `engine/compute/measures/sizes.py` and `engine/compute/worker/steps.py`.",
    ),
    "runtime": Recipe(
        "A session class: it opens an artefact for one fixed input, runs it, and gives outputs. For searches that time "
        "single layers, a layer class as well.",
        "openvino",
        ("engine/compute/runtimes/openvino.py", "engine/compute/latency/openvino_layer.py"),
        {
            "engine/params/runtimes.py": "its name, and its row of `KIND`: packages, precisions, what it reads",
            "engine/compute/runtimes/base.py": "its row of `OPENED`: where the session class stands",
            "engine/compute/latency/layer_worker.py": "if searches may measure in it: its row of `LAYERS`",
            "pyproject.toml": "the extra that brings its package",
        },
        r"(?i)openvino",
        {
            "engine/compute/export/alone.py": "packages that an exported loader must do without",
            "engine/compute/export/formats.py": "the export format of that name",
            "engine/compute/export/ir.py": "the export format of that name",
            "engine/compute/export/loader.py": "the export format of that name",
            "engine/compute/export/templates.py": "the export format of that name",
            "engine/results/exports.py": "the export format of that name",
            "engine/machine/environment.py": "its package that reports home is kept from being imported",
            "engine/presets/checks.py": "files of its format, brought as weights, are refused by their name",
        },
    ),
    "measure": Recipe(
        "A function that takes it from a model.",
        "size.gzip",
        (),
        {
            "engine/measures/table.py": "its row of `TABLE`: label, unit, digits, where it is shown and drawn",
            "engine/compute/measures/sizes.py": "the function, here or in a module of its own",
            "engine/compute/worker/steps.py": "if the function is new: its call among a trial's measures",
            "engine/studies/plan.py": "a higher `MEASURE_VERSION`, so that stored measures are taken anew",
        },
        r"\bgzip\b",
        {
            "engine/compute/data/idx.py": "reads files that are compressed so",
            "engine/compute/data/digits.py": "reads a file that is compressed so",
            "engine/compute/pretrained/files.py": "refuses weights that are compressed so",
            "engine/testing/folders.py": "fabricated studies have numbers for it",
        },
        "The row decides the rest: `column` puts it into tables, `along` into charts, `quality` makes it what "
        "models of a task are judged by. An amount that is drawn (`plot`) and of which less is better (a count, "
        "bytes, milliseconds) can be limited by searches and picks. What a search can aim at "
        "(`smallest`) is listed in `engine/params/search.py`; what `solve` can predict, in `MEASURES` of "
        "`engine/search/proposals.py`, and rows of `sensitivity` then have to have it.",
    ),
    "criterion": Recipe(
        "A function from a network's weights (or passes of images) to a score for each unit of channels, "
        "larger for what matters more; for `prune.weights` alike, with a score for each weight, in "
        "`engine/params/pruning.py` and `engine/compute/steps/pruning/importance.py`. Forms, docs, sweeps and "
        "searches take its name from the parameter.",
        "fpgm",
        (),
        {
            "engine/params/channels.py": "its name in `Criterion`, and in the help text of `criterion`",
            "engine/compute/steps/channels/importance.py": "the function, and a case that calls it",
            "engine/params/choices.py": "its line in forms",
        },
        r"fpgm|_median_distance",
        further="For one that takes gradients on batches as large as memory allows, as `taylor` does, `in_pieces` in "
        "`engine/params/base.py` has to be true: how batches are cut is then part of the key.",
    ),
    "data set": Recipe(
        "Of a kind that is there (folders, IDX files, what torchvision reads): a `Record` with its files and "
        "counts, and its name. Of a new kind: a class below `Kind`, which says what it is, and a reader that "
        "gives a `Source`.",
        "webdataset",
        ("engine/datasets/shards.py", "engine/compute/data/shards.py"),
        {
            "engine/params/catalog.py": "its name in `DATASETS`; with boxes in `DETECTION`, and in `OWN_DATA` "
            "if it is the user's own",
            "engine/datasets/table.py": "its `Record`; those of published sets stand in `small.py` and "
            "`photos.py` beside it",
            "engine/datasets/records.py": "a new kind: its class",
            "engine/compute/data/read.py": "a new kind: a case that calls its reader",
        },
        r"OwnShards|webdataset|own_shards|data\.shards",
    ),
    "chart": Recipe(
        "A function from states of studies to a `Figure`, whose points have owners: what a click, Enter or "
        "`--json` tells of one. It is drawn as text, SVG, PNG and CSV as it is.",
        "training curves",
        ("engine/charts/training.py",),
        {
            "tui/views/curves.py": "when the page of curves draws it",
            "tui/screens/curves.py": "what there is to choose of it",
            "engine/reports/content.py": "its place in reports",
        },
        r"engine\.charts import .*\btraining\b|engine\.charts\.training",
        {"tui/views/run.py": "the page of a running study has the curve of what trains"},
        "`engine/cli/plot.py` draws what has any parameter or measure along its axes "
        "(`engine/charts/trials.py`).",
    ),
    "command": Recipe(
        "A module with `add`, which declares its arguments, and a function that carries it out. The help, "
        "`secateur spec`, the tools for agents and the docs follow from the declaration; what only the "
        "function needs it imports itself.",
        "note",
        ("engine/cli/note.py",),
        {"engine/cli/main.py": "its row of `COMMANDS`; if it is for everybody, a line of `EPILOG`"},
        r"cli\.note\b|'note': \('note',\)",
        further="A line in `COMMANDS` of `tests/engine/cli/test_texts.py` tries it with texts that would steer a "
        "terminal, one in `EVERY` of `test_odd_places.py` beside it on places that are not as they should be.",
    ),
    "executor": Recipe(
        "A class with the five methods of `Executor` in `engine/runner/executors/base.py`: has room, start, wait, "
        "ask, stop. It carries a job's request, one JSON text, to where a worker takes it. Where a scheduler hands out "
        "the work, as Slurm does, it is a `Carrier` beside it: start and cancel of a whole study.",
        "local",
        ("engine/runner/executors/local.py",),
        {
            "engine/params/preset.py": "its section in `Executor`, and how many trials it runs at a time",
            "engine/runner/executors/choose.py": "the machine it computes on, and how the class is made",
            "tui/lab/outline.py": "the form's line that says where trials run",
        },
        r"LocalExecutor|executors\.local|executor\.local|class Local\b",
        {
            "engine/compute/memory.py": "an error's remedy names the parameter",
            "engine/compute/worker/gpu_errors.py": "an error's remedy names the parameter",
            "engine/compute/worker/explain.py": "an error's remedy names the parameter",
            "engine/machine/gpus.py": "a note names the parameter",
        },
    ),
    "screen": Recipe(
        "A class below `StudyScreen` or `BaseScreen` with its style beside it, and a pure function from state to lines "
        "in `tui/views`. Footer, help, palette and the table of keys follow from the rows.",
        "log",
        ("tui/screens/log.py", "tui/screens/log.tcss", "tui/views/log.py"),
        {
            "tui/keys/action.py": "its row of `PLACES`: number, name, label, class",
            "tui/keys/table.py": "its actions",
        },
        r"LogScreen|screens\.log\b|views\.log\b|views import log\b|(Go|hint|place|Place)\(('7', )?'log'",
        {"tui/screens/run.py": "the last lines of the log stand on the page of a running study"},
    ),
}
