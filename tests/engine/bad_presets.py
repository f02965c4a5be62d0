"""The table of bad presets: one mistake each, with the line, the path and the words of its message."""

from dataclasses import dataclass

HEAD = "model: {name: resnet20}\ndata: {name: digits}\n"  # lines 1 and 2
TRAIN = "steps: [train]\n"  # line 3
PIPELINE = HEAD + "steps:\n  - train\n  - prune.weights: {scope: global}\n  - finetune\n"  # lines 1 to 6


@dataclass(frozen=True)
class Case:
    name: str
    text: str
    line: int
    path: str
    message: tuple[str, ...]


def whole(name: str, text: str, line: int, path: str, *message: str) -> Case:
    """A whole file."""
    return Case(name, text, line, path, message)


def section(name: str, text: str, line: int, path: str, *message: str) -> Case:
    """Lines beside model (1), data (2) and steps (3); they start on line 4."""
    return Case(name, HEAD + TRAIN + text + "\n", line, path, message)


def model(name: str, text: str, path: str, *message: str) -> Case:
    return Case(name, f"model: {text}\ndata: {{name: digits}}\n" + TRAIN, 1, path, message)


def data(name: str, text: str, path: str, *message: str) -> Case:
    return Case(name, f"model: {{name: resnet20}}\ndata: {text}\n" + TRAIN, 2, path, message)


def steps(name: str, text: str, line: int, path: str, *message: str) -> Case:
    """Steps, the first one on line 4."""
    return Case(name, f"{HEAD}steps:\n{text}\n", line, path, message)


def sweep(name: str, text: str, line: int, path: str, *message: str) -> Case:
    """A sweep over train, prune.weights and finetune; `sweep:` is on line 7, its first entry on line 8."""
    return Case(name, f"{PIPELINE}sweep:\n{text}\n", line, path, message)


NOT_YAML = [
    whole("empty", "", 1, "", "is empty", "model:"),
    whole("only comments", "# nothing\n\n", 1, "", "is empty"),
    whole("a list", "- train\n", 1, "", "given [train]", "sections such as model:"),
    whole("a text", "resnet20\n", 1, "", "given 'resnet20'"),
    whole("tab", "model:\n\tname: resnet20\n", 2, "", "a tab", "spaces"),
    whole("open list", "model: {name: a}\nsteps: [train, finetune\n", 2, "", "a list that is not closed"),
    whole("open mapping", "model: {name: a\n", 1, "", "a mapping that is not closed"),
    whole("open quote", "about: 'never closed\nseed: 0\n", 1, "", "a quote that is not closed"),
    whole("two colons", "about: local: global\n", 1, "", "a `:` that is out of place", "quotes"),
    whole("indentation", "model:\n  name: a\n weights: b\n", 3, "", "indented unlike"),
    whole("no colon", "about: x\nseed\n", 2, "", "a name without `:`"),
    whole("back-tick", "about: `x`\n", 1, "", "cannot begin a value", "quotes"),
    whole("two documents", "about: a\n---\nabout: b\n", 2, "", "second document", "one preset per file"),
    whole("control character", "about: a\nseed: \x01\n", 2, "", "text files do not hold"),
    whole("unknown escape", 'about: a\nseed: "\\UFFFFFFFF"\n', 2, "", "cannot be read"),
    section(
        "duplicate section", "model: {name: resnet32}", 4, "model", "is written twice", "first at p.yaml:1"
    ),
    model("duplicate key", "{name: resnet20, name: resnet32}", "model.name", "is written twice"),
    model(
        "python tag", "{name: resnet20, arguments: !!python/object:os.system {}}", "model.arguments", "tag"
    ),
    section("own tag", "about: !secret x", 4, "about", "given the tag !secret", "plain values"),
    section(
        "merge key",
        "plot:\n  <<: {log: true}\n  x: loss",
        5,
        "plot",
        "merges another mapping",
        "written where",
    ),
    section("unknown alias", "about: *other", 4, "about", "refers to `*other`"),
    section("alias within itself", "about: &a [*a]", 4, "about[0]", "refers to `*a`"),
    section("list as key", "? [1, 2]\n: 3", 4, "", "a key that is not a plain name"),
    section("too deep", "about: " + "[" * 60 + "]" * 60, 4, "about" + "[0]" * 25, "nested too deeply"),
]

SECTIONS = [
    whole("no model", "data: {name: digits}\nsteps: [train]\n", 1, "model", "is missing"),
    whole("no data", "model: {name: resnet20}\nsteps: [train]\n", 1, "data", "is missing"),
    whole("no steps", HEAD, 1, "steps", "is missing", "a list of steps"),
    section("unknown section", "modle: {}", 4, "modle", "is unknown", "executor", "did you mean model?"),
    section("steps misspelled", "stpes: []", 4, "stpes", "is unknown", "did you mean steps?"),
    section("unknown version", "version: 2", 4, "version", "given 2", "allowed: 1"),
    section("about a number", "about: 2024", 4, "about", "given 2024", "text", "write '2024' in quotes"),
    section("seed text", "seed: 'one'", 4, "seed", "given 'one'", "a whole number ≥ 0"),
    section("seed fraction", "seed: 0.5", 4, "seed", "given 0.5", "a whole number"),
    section("seed negative", "seed: -1", 4, "seed", "given -1", "≥ 0 and ≤ 2147483647"),
    section("seed too large", "seed: 2147483648", 4, "seed", "given 2147483648", "≤ 2147483647"),
    section("one bad seed", "seed:\n  - 0\n  - one", 6, "seed[1]", "given 'one'", "a whole number"),
    section("seed twice", "seed: [0, 1, 0]", 4, "seed", "given 0 twice", "each seed once"),
    section("no seeds", "seed: []", 4, "seed", "given []"),
    section("threads none", "threads: 0", 4, "threads", "given 0", "≥ 1 and ≤ 1024", "auto"),
    section("threads text", "threads: aut", 4, "threads", "given 'aut'", "did you mean auto?"),
    section("device", "device: gpu", 4, "device", "given 'gpu'", "one of auto, cpu, cuda"),
    section("device index", "device: cuda:0", 4, "device", "given 'cuda:0'", "auto, cpu, cuda"),
    section("executor", "executor: {slurm: {}}", 4, "executor.slurm", "is unknown", "allowed: local"),
    section("parallel", "executor: {local: {parallel: 0}}", 4, "executor.local.parallel", "≥ 1", "(trials)"),
    section(
        "infinite",
        "executor: {local: {parallel: .inf}}",
        4,
        "executor.local.parallel",
        "given .inf",
        "finite",
    ),
    section("too many digits", "seed: " + "9" * 400, 4, "seed", "400 digits"),
    section(
        "size text", "measure: {size: yes}", 4, "measure.size", "given 'yes'", "true or false", "write true"
    ),
    section("latency on", "measure: {latency: true}", 4, "measure.latency", "given true", "latency: {}"),
    section(
        "runtime",
        "measure:\n  latency: {runtimes: [torch, onnx]}",
        5,
        "measure.latency.runtimes[1]",
        "given 'onnx'",
        "torch, torch-compile, onnxruntime, openvino",
        "did you mean onnxruntime?",
    ),
    section(
        "no runtime", "measure: {latency: {runtimes: []}}", 4, "measure.latency.runtimes", "at least one"
    ),
    section(
        "single batch", "measure: {latency: {batch: 32}}", 4, "measure.latency.batch", "a list", "write [32]"
    ),
    section(
        "plot of latency not measured",
        "plot: {x: batch, y: latency, by: runtime}",
        4,
        "plot.y",
        "no trial measures latency",
        "measure: {latency: {}}",
    ),
    section(
        "batch of 0", "measure: {latency: {batch: [1, 0]}}", 4, "measure.latency.batch[1]", "≥ 1", "(images)"
    ),
    section(
        "block too short", "measure: {latency: {block_ms: 0.5}}", 4, "measure.latency.block_ms", "≥ 1", "(ms)"
    ),
    section("plot without x", "plot: {y: loss}", 4, "plot.x", "is missing"),
    section(
        "plot y", "plot: {x: loss, y: acuracy}", 4, "plot.y", "given 'acuracy'", "did you mean accuracy?"
    ),
    section("plot x", "plot: {x: train.epochs}", 4, "plot.x", "a swept parameter or a measure"),
    section(
        "plot by", "plot: {x: loss, by: train.epochs}", 4, "plot.by", "a swept parameter", "nothing is swept"
    ),
    model("name missing", "{weights: random}", "model.name", "is missing", "text"),
    model("auto of nothing", "{name: auto}", "model.name", "weights are random", "a file to recognize it by"),
    model("weights of ONNX", "{weights: net.onnx}", "model.weights", "given an ONNX graph", "a state_dict"),
    model("model as text", "resnet20", "model", "given 'resnet20'", "write model: {name: resnet20}"),
    model(
        "no such model",
        "{name: resnet21}",
        "model.name",
        "given 'resnet21'",
        "torchvision/NAME",
        "did you mean resnet20?",
    ),
    model("torchvision left out", "{name: resnet18}", "model.name", "did you mean torchvision/resnet18?"),
    model("file without function", "{name: net.py}", "model.name", "add the function: net.py:FUNCTION"),
    model("function not a name", "{name: 'net.py:a b'}", "model.name", "path/file.py:function"),
    model("weights", "{name: resnet20, weights: pretraned}", "model.weights", "did you mean pretrained?"),
    model(
        "arguments a list", "{name: resnet20, arguments: [32]}", "model.arguments", "given [32]", "a mapping"
    ),
    model("argument not finite", "{name: resnet20, arguments: {w: .nan}}", "model.arguments.w", "finite"),
    data("no such data", "{name: fashion_mnst}", "data.name", "did you mean fashion-mnist?"),
    data("data misspelled", "{nam: digits, name: digits}", "data.nam", "is unknown", "did you mean name?"),
    data(
        "size text",
        "{name: digits, size: '32'}",
        "data.size",
        "given the text '32'",
        "write 32 without quotes",
    ),
    data("size too large", "{name: digits, size: 10000}", "data.size", "≥ 4 and ≤ 4096 (pixels)"),
    data("channels", "{name: digits, channels: 2}", "data.channels", "given 2", "one of 1, 3"),
    data("validation", "{name: digits, validation: 0}", "data.validation", "> 0 and < 0.9"),
    data("percent", "{name: digits, validation: 10%}", "data.validation", "given '10%'", "write 0.1"),
    data("limit", "{name: digits, limit: 5}", "data.limit", "given 5", "≥ 16 (images)"),
    data("no folder", "{name: imagefolder}", "data.root", "is missing", "the folder that holds the images"),
]

STEPS = [
    whole("steps empty", HEAD + "steps: []\n", 3, "steps", "given []", "a list of steps"),
    whole("steps null", HEAD + "steps:\n", 3, "steps", "given nothing", "a list of steps"),
    whole(
        "steps a mapping", HEAD + "steps: {train: {}}\n", 3, "steps", "given {train: {}}", "a list of steps"
    ),
    steps(
        "parameter of one method",
        "  - quantize.static: {method: percentile, percentile: 99.9}",
        4,
        "steps[0].quantize.static.percentile",
        "is unknown",
        "write method: {kind: percentile, percentile: 99.9}",
    ),
    steps(
        "no such step", "  - trian: {epochs: 1}", 4, "steps[0].trian", "is not a step", "did you mean train?"
    ),
    steps("half a name", "  - train\n  - prune: {}", 5, "steps[1].prune", "did you mean prune.weights?"),
    steps("a number", "  - 5", 4, "steps[0]", "given 5", "one step"),
    steps("two in one", "  - train:\n    epochs: 3", 4, "steps[0]", "indent the parameters below `train:`"),
    steps("parameters a number", "  - train: 5", 4, "steps[0].train", "given 5", "parameters such as"),
    steps(
        "unknown parameter",
        "  - train: {epoch: 3}",
        4,
        "steps[0].train.epoch",
        "is unknown",
        "did you mean epochs?",
    ),
    steps(
        "epochs 0",
        "  - train: {epochs: 0}",
        4,
        "steps[0].train.epochs",
        "given 0",
        "≥ 1 and ≤ 10000 (epochs)",
    ),
    steps("epochs 1.0", "  - train: {epochs: 1.0}", 4, "steps[0].train.epochs", "given 1.0", "write 1"),
    steps(
        "epochs true", "  - train: {epochs: true}", 4, "steps[0].train.epochs", "given true", "a whole number"
    ),
    steps(
        "quoted number",
        "  - train:\n      learning_rate: '0.5'",
        5,
        "steps[0].train.learning_rate",
        "given the text '0.5'",
        "write 0.5 without quotes",
    ),
    steps(
        "rate null",
        "  - train: {learning_rate: null}",
        4,
        "steps[0].train.learning_rate",
        "given null",
        "> 0",
    ),
    steps(
        "rate a list",
        "  - train: {learning_rate: [0.1, 0.2]}",
        4,
        "steps[0].train.learning_rate",
        "given [0.1, 0.2]",
        "belong in `sweep`",
    ),
    steps("rate nan", "  - train: {learning_rate: .nan}", 4, "steps[0].train.learning_rate", "finite"),
    steps("rate overflows", "  - train: {learning_rate: 1e999}", 4, "steps[0].train.learning_rate", "finite"),
    steps(
        "choice",
        "  - train: {schedule: cosin}",
        4,
        "steps[0].train.schedule",
        "onecycle",
        "did you mean cosine?",
    ),
    steps("enabled no", "  - train: {enabled: no}", 4, "steps[0].train.enabled", "given 'no'", "write false"),
    steps("id with dot", "  - train: {id: a.b}", 4, "steps[0].train.id", "given 'a.b'", "lower-case letters"),
    steps("id a kind", "  - train: {id: finetune}", 4, "steps[0].train.id", "the name of a step"),
    steps("id a section", "  - train: {id: model}", 4, "steps[0].train.id", "the name of a section"),
    steps(
        "id twice",
        "  - train: {id: a}\n  - finetune: {id: a}",
        5,
        "steps[1].finetune.id",
        "again",
        "p.yaml:4",
    ),
    steps(
        "sparsity 1", "  - prune.weights: {sparsity: 1}", 4, "steps[0].prune.weights.sparsity", "≥ 0 and < 1"
    ),
    steps(
        "pattern form",
        "  - prune.weights: {pattern: 2/4}",
        4,
        "steps[0].prune.weights.pattern",
        "N:M such as 2:4",
    ),
    steps(
        "pattern order",
        "  - prune.weights: {pattern: 4:2}",
        4,
        "steps[0].prune.weights.pattern",
        "given 4:2",
        "N < M",
    ),
    steps(
        "pattern and sparsity",
        "  - prune.weights:\n      pattern: 2:4\n      sparsity: 0.5",
        6,
        "steps[0].prune.weights.sparsity",
        "given together with pattern 2:4",
    ),
    steps(
        "pattern and schedule",
        "  - prune.weights: {pattern: 2:4, schedule: cubic}",
        4,
        "steps[0].prune.weights.schedule",
        "given cubic with pattern 2:4",
        "one-shot",
    ),
    steps(
        "skip a text", "  - prune.weights: {skip: conv1}", 4, "steps[0].prune.weights.skip", "write [conv1]"
    ),
    steps(
        "skip a number",
        "  - prune.weights: {skip: [conv1, 3]}",
        4,
        "steps[0].prune.weights.skip[1]",
        "given 3",
    ),
    steps(
        "schedule",
        "  - prune.weights: {schedule: cubik}",
        4,
        "steps[0].prune.weights.schedule",
        "given 'cubik'",
        "one of one-shot, linear, cubic",
        "did you mean cubic?",
    ),
    steps(
        "schedule kind",
        "  - prune.weights: {schedule: {kind: cubik}}",
        4,
        "steps[0].prune.weights.schedule.kind",
        "did you mean cubic?",
    ),
    steps(
        "no schedule kind",
        "  - prune.weights: {schedule: {rounds: 3}}",
        4,
        "steps[0].prune.weights.schedule.kind",
        "is missing",
        "one of one-shot, linear, cubic",
    ),
    steps(
        "rounds of one shot",
        "  - prune.weights: {schedule: {kind: one-shot, rounds: 3}}",
        4,
        "steps[0].prune.weights.schedule.rounds",
        "does not apply here",
        "schedule = linear or cubic",
    ),
    steps(
        "rounds bound",
        "  - prune.weights: {schedule: {kind: linear, rounds: 1}}",
        4,
        "steps[0].prune.weights.schedule.rounds",
        "given 1",
        "≥ 2 and ≤ 1000 (rounds)",
    ),
    steps(
        "schedule a number",
        "  - prune.weights: {schedule: 5}",
        4,
        "steps[0].prune.weights.schedule",
        "given 5",
    ),
    steps(
        "fine-tuning nothing",
        "  - finetune",
        4,
        "steps[0].finetune",
        "needs a trained model",
        "after a train step",
    ),
    steps(
        "calibrating nothing",
        "  - prune.weights\n  - calibrate",
        5,
        "steps[1].calibrate",
        "needs a trained model",
    ),
    steps(
        "rates of nothing",
        "  - train\n  - prune.weights: {scope: sensitivity}",
        5,
        "steps[1].prune.weights.scope",
        "no step before it measures the sensitivity of weights",
        "sensitivity: {of: weights}",
    ),
    steps(
        "rates of something else",
        "  - train\n  - sensitivity\n  - prune.weights: {scope: sensitivity}",
        6,
        "steps[2].prune.weights.scope",
        "the sensitivity of weights",
    ),
    steps(
        "rates from a step switched off",
        "  - train\n  - sensitivity: {enabled: false}\n  - prune.channels: {scope: sensitivity}",
        6,
        "steps[2].prune.channels.scope",
        "the sensitivity of channels",
    ),
    sweep(
        "rates of nothing in one trial",
        "  prune.weights.scope: [global, sensitivity]",
        8,
        "sweep.prune.weights.scope[1]",
        "the sensitivity of weights",
    ),
    section("plot along rates of nothing", "plot: {x: rate}", 4, "plot.x", "given 'rate'"),
    steps("training later", "  - calibrate\n  - train", 4, "steps[0].calibrate", "needs a trained model"),
    steps(
        "training disabled",
        "  - train: {enabled: false}\n  - finetune",
        5,
        "steps[1].finetune",
        "nothing before it",
    ),
]

SPARSITY = "sweep.prune.weights.sparsity"

SWEEPS = [
    whole("empty sweep", PIPELINE + "sweep:\n", 7, "sweep", "is empty", "leave the section out"),
    whole("empty mapping", PIPELINE + "sweep: {}\n", 7, "sweep", "is empty"),
    whole("sweep a list", PIPELINE + "sweep: [1]\n", 7, "sweep", "given [1]", "PATH: [values]"),
    sweep("empty axis", "  prune.weights.sparsity: []", 8, SPARSITY, "given []", "a list such as"),
    sweep("single value", "  prune.weights.sparsity: 0.5", 8, SPARSITY, "given 0.5", "belongs in its step"),
    sweep(
        "twice", "  prune.weights.sparsity: [0, 0.5, 0.50]", 8, f"{SPARSITY}[2]", "given 0.50 again", "once"
    ),
    sweep("twice, 1 and 1.0", "  train.learning_rate: [1, 1.0]", 8, "sweep.train.learning_rate[1]", "again"),
    sweep(
        "a value out of range",
        "  prune.weights.sparsity:\n    - 0\n    - 1.5",
        10,
        f"{SPARSITY}[1]",
        "given 1.5",
        "≥ 0 and < 1",
    ),
    sweep(
        "a value of another type",
        "  prune.weights.scope: [local, glbal]",
        8,
        "sweep.prune.weights.scope[1]",
        "given 'glbal'",
        "did you mean global?",
    ),
    sweep(
        "range out of bounds",
        "  prune.weights.sparsity: 0.5..1 by 0.5",
        8,
        f"{SPARSITY}[1]",
        "given 1.0",
        "< 1",
    ),
    sweep("range without step", "  train.epochs: 1..5", 8, "sweep.train.epochs", "1..5 by 1"),
    sweep(
        "range away",
        "  train.epochs: 1..5 by -1",
        8,
        "sweep.train.epochs",
        "leads from the first value to the last",
    ),
    sweep("range standing still", "  train.epochs: 1..5 by 0", 8, "sweep.train.epochs", "a step that leads"),
    sweep(
        "range too long", "  train.epochs: 1..20000 by 1", 8, "sweep.train.epochs", "at most 10,000 values"
    ),
    sweep(
        "no such step",
        "  distill.epochs: [1, 2]",
        8,
        "sweep.distill.epochs",
        "names nothing",
        "train, prune.weights",
    ),
    sweep(
        "no such parameter",
        "  train.epoch: [1, 2]",
        8,
        "sweep.train.epoch",
        "is unknown",
        "did you mean epochs?",
    ),
    sweep(
        "no such setting",
        "  data.limt: [100, 200]",
        8,
        "sweep.data.limt",
        "is unknown",
        "did you mean limit?",
    ),
    sweep("whole step", "  train: [1, 2]", 8, "sweep.train", "names a whole step"),
    sweep("whole section", "  model: [a, b]", 8, "sweep.model", "a whole group", "model.name"),
    sweep("seed", "  seed: [0, 1]", 8, "sweep.seed", "a list of seeds", "`seed: [0, 1, 2]`"),
    sweep("measure", "  measure.size: [true, false]", 8, "sweep.measure.size", "the same for all trials"),
    sweep(
        "executor",
        "  executor.local.parallel: [1, 2]",
        8,
        "sweep.executor.local.parallel",
        "where trials run",
    ),
    sweep("threads", "  threads: [1, 2]", 8, "sweep.threads", "the same for all trials", "latency"),
    sweep("id", "  train.id: [a, b]", 8, "sweep.train.id", "it names the step"),
    sweep(
        "no such model",
        "  model.name: [resnet20, resnet33]",
        8,
        "sweep.model.name[1]",
        "did you mean resnet32?",
    ),
    sweep(
        "10 000 trials",
        "  train.epochs: 1..101 by 1\n  finetune.epochs: 1..100 by 1",
        7,
        "sweep",
        "makes 10,100 trials",
        "at most 10,000",
    ),
    sweep(
        "training switched off",
        "  train.enabled: [true, false]",
        6,
        "steps[2].finetune",
        "in trials where train.enabled is false",
    ),
    sweep(
        "pattern with scope",
        "  prune.weights.pattern: [2:4, 1:4]",
        5,
        "steps[1].prune.weights.scope",
        "given together with pattern 2:4",
    ),
    sweep("zip of one", "  zip: {train.epochs: [1, 2]}", 8, "sweep.zip", "two or more"),
    sweep(
        "zip of unequal",
        "  zip:\n    train.epochs: [1, 2]\n    finetune.epochs: [1, 2, 3]",
        8,
        "sweep.zip",
        "2 for train.epochs, 3 for finetune.epochs",
        "same length",
    ),
    sweep(
        "zip twice",
        "  zip: {train.epochs: [1, 1], finetune.epochs: [2, 2]}",
        8,
        "sweep.zip.train.epochs[1]",
        "again",
    ),
    sweep(
        "zipped and swept",
        "  train.epochs: [1, 2]\n  zip: {train.epochs: [3, 4], finetune.epochs: [1, 2]}",
        9,
        "sweep.zip.train.epochs",
        "is swept already",
    ),
    whole(
        "kind meaning two steps",
        HEAD + "steps: [train, finetune, finetune]\nsweep:\n  finetune.epochs: [1, 2]\n",
        5,
        "sweep.finetune.epochs",
        "may mean 2 steps",
        "give them an id",
    ),
    whole(
        "two names for one",
        HEAD + "steps:\n  - train: {id: base}\nsweep:\n  base.epochs: [1, 2]\n  train.epochs: [3, 4]\n",
        7,
        "sweep.train.epochs",
        "is swept already, as base.epochs",
    ),
    whole(
        "replaced value wrong too",
        HEAD + "steps:\n  - train: {epochs: many}\nsweep: {train.epochs: [1, 2]}\n",
        4,
        "steps[0].train.epochs",
        "given 'many'",
    ),
]

CASES = NOT_YAML + SECTIONS + STEPS + SWEEPS
