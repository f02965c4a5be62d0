"""Bad presets, one mistake each, with the line, the path and the words of its message: files and sections."""

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
    whole("text behind a list", "about: [b]old[/b] and new\n", 1, "", "behind a value that is closed"),
    whole("text behind a quote", "about: 'old' and new\n", 1, "", "behind a value that is closed"),
    whole("indentation", "model:\n  name: a\n weights: b\n", 3, "", "indented unlike"),
    whole("no colon", "about: x\nseed\n", 2, "", "a name without `:`"),
    whole("back-tick", "about: `x`\n", 1, "", "cannot begin a value", "quotes"),
    whole("two documents", "about: a\n---\nabout: b\n", 2, "", "second document", "one preset per file"),
    whole("control character", "about: a\nseed: \x01\n", 2, "", "text files do not hold"),
    whole(
        "half a character", 'about: a\nmodel: {name: "\\ud83d"}\n', 2, "", "half a character", "both halves"
    ),
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
    Case(
        "a text of lines for a group",
        "model: |\n  a\n  b\ndata: {name: digits}\nsteps: [train]\n",
        1,
        "model",
        ("given 'a·b·'", 'write model: {name: "a\\nb\\n"}'),
    ),
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
    section("device", "device: gpu", 4, "device", "given 'gpu'", "auto, cpu, cuda"),
    section("device index", "device: cuda:x", 4, "device", "given 'cuda:x'", "cuda:NUMBER"),
    section("executor", "executor: {cloud: {}}", 4, "executor.cloud", "is unknown", "allowed: local, slurm"),
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
    model("weights of a folder", "{name: resnet20, weights: mine}", "model.weights", "a folder: mine/"),
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
    data("channels", "{name: digits, channels: 0}", "data.channels", "given 0", "≥ 1 and ≤ 1024"),
    data("validation", "{name: digits, validation: 0}", "data.validation", "> 0 and < 0.9"),
    data("percent", "{name: digits, validation: 10%}", "data.validation", "given '10%'", "write 0.1"),
    data("limit", "{name: digits, limit: 5}", "data.limit", "given 5", "≥ 16 (images)"),
    data("no folder", "{name: imagefolder}", "data.root", "is missing", "the folder that holds the images"),
]
