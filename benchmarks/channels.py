"""Accuracy after channel pruning: `prune.channels` against plain torch-pruning, all else equal.

The plain way is torch-pruning as its readme shows it: group L2 importance, global ranking, in one go, with the smallest
ratio of channels that meets the target. Both start from the same trained network, are fine-tuned with the same
parameters (--recovery changes them for all arms), epochs and batches (what `prune.channels` trains itself is taken off
its fine-tuning), and keep the epoch that is best on validation. The test split is scored once for each.

    python -m benchmarks.channels [--model resnet20] [--images 20000] [--epochs 6] [--finetune 4]
                                  [--speedup 2 4 8 | --compression 4] [--seeds 0 1 2] [--ours criterion=taylor ...]
                                  [--recovery augment=none ...] [--distill 'method={kind: logits, alpha: 0.5}' ...]

With --speedup the target is MACs before over after; with --compression, parameters before over after. Results are kept
in --folder, and a run that was interrupted goes on with the first that is missing. Prints a line for each trial, and
writes mean and deviation over the seeds for each arm to benchmarks/results/channels.json (`channels_parameters` with
--compression; of other networks than ResNet20 with their name).

Arms: `baseline` is the unpruned network with the same epochs of fine-tuning, `plain` torch-pruning and `ours`
`prune.channels`, both fine-tuned on the labels; `plain-taught` and `taught` are the same with a teacher beside the
labels, which is the network of the arm `baseline`, and with the parameters of --distill.
"""

import argparse
import copy
import statistics
import sys
import time
from typing import Any

import torch
from torch import nn

from benchmarks import results, trained
from engine.compute.context import validate
from engine.compute.data import Dataset
from engine.compute.measures.counts import count
from engine.compute.steps.apply import apply
from engine.params import PruneChannels
from engine.params.channels import NoLearning
from engine.params.pruning import OneShot
from engine.text.phrases import counted

Trials = dict[tuple[float, str], list[dict[str, Any]]]
"""Results of all seeds by target and arm."""
TITLE = "Channel pruning against torch-pruning"
TITLE_PARAMETERS = "Channel pruning to fewer parameters"

ARMS = {
    "baseline": "not pruned",
    "plain": "torch-pruning",
    "plain-taught": "torch-pruning, with a teacher",
    "ours": "prune.channels",
    "taught": "prune.channels, with a teacher",
}
"""The arms, and what the results' table calls them."""
OURS = ("ours", "taught")
"""Those that are pruned by `prune.channels`."""
TAUGHT = ("plain-taught", "taught")
"""Those that are fine-tuned with a teacher."""
QUICK = (
    f"{trained.DIGITS} --finetune 2 --finetune-rate 0.1 --speedup 4 --arms baseline plain ours taught "
    "--distill 'method={kind: logits, alpha: 0.7}'"
)
QUICK_ABOVE, QUICK_BEHIND = 10.0, 1.5
HALVINGS = 12
"""Of the range in which the plain way's ratio of channels is sought: to 0.02 points."""


def plain(model: nn.Module, data: Dataset, args: argparse.Namespace, target: float) -> nn.Module:
    """Plain torch-pruning: group L2, global ranking, in one go; of the ratios that meet the target, the smallest."""
    before = cost(model, data, args)
    low, high = 0.0, 1.0
    best = None
    for _ in range(HALVINGS):
        ratio = (low + high) / 2
        pruned = plainly(copy.deepcopy(model), data, ratio)
        if before / cost(pruned, data, args) >= target:
            high, best = ratio, pruned
        else:
            low = ratio
    assert best is not None
    return best


def plainly(model: nn.Module, data: Dataset, ratio: float) -> nn.Module:
    import torch_pruning as tp

    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    tp.pruner.MagnitudePruner(
        model,
        torch.zeros(1, data.channels, *data.size),
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=ratio,
        ignored_layers=layers[-1:],
    ).step()
    return model


def cost(model: nn.Module, data: Dataset, args: argparse.Namespace) -> int:
    counts = count(model, (data.channels, *data.size))
    return counts.parameters if args.compression else counts.macs


def ours(model: nn.Module, data: Dataset, args: argparse.Namespace, target: float, seed: int) -> nn.Module:
    """`prune.channels` with the settings of --ours."""
    return apply(step_of(args, target), model, trained.context(data, seed, 1))


def step_of(args: argparse.Namespace, target: float) -> PruneChannels:
    settings = {"compression" if args.compression else "speedup": target, **trained.settings(args.ours)}
    return PruneChannels.model_validate(settings, strict=False)


def spent(step: PruneChannels) -> int:
    """Epochs of the fine-tuning budget that the step trains itself."""
    rounds = 0 if isinstance(step.schedule, OneShot) else (step.schedule.rounds - 1) * step.schedule.epochs
    return rounds + (0 if isinstance(step.learning, NoLearning) else step.learning.epochs)


def pruned(args: argparse.Namespace, data: Dataset, arm: str, target: float, seed: int) -> nn.Module:
    """The network of an arm before it is trained on, from --folder if it is there."""

    def made() -> nn.Module:
        model = trained.baseline(args, data, seed)
        if arm in OURS:
            return ours(model, data, args, target, seed)
        return plain(model, data, args, target)

    return trained.network(
        args, ["pruned", *trained.trained_as(args), *pruned_as(args, arm, target, seed)], made
    )


def pruned_as(args: argparse.Namespace, arm: str, target: float, seed: int) -> list[object]:
    """What tells the network of an arm from others that were pruned."""
    settings = [*sorted(args.ours), f"v{PruneChannels.version}"] if arm in OURS else []
    return [
        "ours" if arm in OURS else "plain",
        "parameters" if args.compression else "macs",
        target,
        seed,
        *settings,
    ]


def trial(args: argparse.Namespace, data: Dataset, arm: str, target: float, seed: int) -> dict[str, Any]:
    """One arm at one target for one seed; `validation` decides, `test` is scored once at the end."""
    model = trained.baseline(args, data, seed) if arm == "baseline" else pruned(args, data, arm, target, seed)
    untrained = validate(model, trained.context(data, seed, 1)).accuracy
    epochs = args.finetune - (spent(step_of(args, target)) if arm in OURS else 0)
    step = trained.finetune(args, epochs=epochs)
    context = trained.context(data, seed, 2)
    if arm in TAUGHT:
        context.teacher = trained.further(args, data, seed)
    started = time.process_time()
    if arm == "baseline":
        model = trained.further(args, data, seed)
    else:
        model = apply(trained.taught(step, args) if arm in TAUGHT else step, model, context)
    seconds = time.process_time() - started
    counts = count(model, (data.channels, *data.size))
    return {
        "arm": arm,
        "target": target,
        "seed": seed,
        "untrained_validation": untrained,
        "validation": validate(model, trained.context(data, seed, 2)).accuracy,
        "test": trained.tested(model, data),
        "macs": counts.macs,
        "parameters": counts.parameters,
        "core_seconds": seconds,
    }


def file_of(args: argparse.Namespace) -> str:
    """The name of the results' file."""
    return trained.named("channels_parameters" if args.compression else "channels", args)


def described(args: argparse.Namespace) -> str:
    """What holds for all rows of the results' table."""
    seeds = counted(len(args.seeds), "seed")
    given = ["Not pruned: as many epochs.", "Points above are those of the same seeds."]
    given.append(
        f"`prune.channels` of version {PruneChannels.version}: {', '.join(args.ours) or 'defaults'}."
    )
    if set(TAUGHT) & set(args.arms):
        given.append(
            f"The teacher is the network that was not pruned ({', '.join(args.distill) or 'defaults'})."
        )
    return (
        f"{args.model}, {args.images or 'all'} images of {args.data}, {seeds}: {args.epochs} epochs of training,"
        f" pruning, {args.finetune} epochs after it at a rate of {args.finetune_rate:g} at most"
        f" ({', '.join([args.schedule or 'cosine', *args.recovery])}). {' '.join(given)}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/channels")
    parser.add_argument("--speedup", type=float, nargs="+", default=[2.0, 4.0, 8.0])
    parser.add_argument("--compression", type=float, nargs="+", default=[])
    parser.add_argument("--arms", nargs="+", default=["baseline", "plain", "ours", "taught"])
    parser.add_argument("--ours", nargs="*", default=[], metavar="PARAMETER=VALUE")
    parser.add_argument("--distill", nargs="*", default=[], metavar="PARAMETER=VALUE")
    parser.add_argument(
        "--kept", action="store_true", help="compute nothing: the results of what is in --folder"
    )
    args = trained.parsed(parser, QUICK)
    data = trained.prepare(args)
    found: Trials = {}
    for seed in args.seeds:
        for arm in args.arms:
            for target in [1.0] if arm == "baseline" else args.compression or args.speedup:
                if not args.kept or trained.is_kept(args, kept_as(args, arm, target, seed)):
                    result = kept(args, data, arm, target, seed)
                    found.setdefault((target, arm), []).append(result)
    rows = [
        row(args, *about, found) for about in sorted(found, key=lambda one: (one[0], [*ARMS].index(one[1])))
    ]
    for one in rows:
        results.tell(one)
    if args.quick:
        return results.judged(claims(rows))
    title = TITLE_PARAMETERS if args.compression else TITLE
    results.write(file_of(args), rows, title=trained.titled(title, args), about=described(args))
    return 0


def claims(rows: list[dict[str, Any]]) -> dict[str, bool]:
    """What the quick form finds of networks of digits with a quarter of their MACs."""
    untrained, after = "not trained on, validation (%)", "trained on, test (%)"
    plain, ours, taught = (
        {one["way"]: one for one in rows}[ARMS[arm]] for arm in ("plain", "ours", "taught")
    )
    best = max(ours[after], taught[after])
    return {
        f"before training {QUICK_ABOVE:g} points above torch-pruning": ours[untrained] - plain[untrained]
        >= QUICK_ABOVE,
        f"after it at most {QUICK_BEHIND:g} points behind": best >= plain[after] - QUICK_BEHIND,
    }


def kept(args: argparse.Namespace, data: Dataset, arm: str, target: float, seed: int) -> dict[str, Any]:
    """The trial's result from --folder, or computed now and put there; printed either way."""
    result = trained.kept(
        args, kept_as(args, arm, target, seed), lambda: trial(args, data, arm, target, seed)
    )
    print(
        f"{arm:12} {target:4g}x seed {seed}: pruned {result['untrained_validation']:.2%}, validation"
        f" {result['validation']:.2%}, test {result['test']:.2%}, {result['macs'] / 1e6:.2f} M MACs,"
        f" {result['parameters'] / 1e6:.3f} M parameters, {result['core_seconds']:.0f} core-seconds of training on",
        flush=True,
    )
    return result


def kept_as(args: argparse.Namespace, arm: str, target: float, seed: int) -> list[object]:
    """What tells a trial from others."""
    return [arm, *pruned_as(args, arm, target, seed), *(sorted(args.distill) if arm in TAUGHT else [])]


def row(args: argparse.Namespace, target: float, arm: str, found: Trials) -> dict[str, Any]:
    """What the results' table says of one arm at one target."""
    trials, unit = found[target, arm], "parameters" if args.compression else "MACs"
    plains = {one["seed"]: one for one in found.get((target, "plain"), [])}

    def percent(name: str) -> float | list[float]:
        return results.mean_and_deviation([100 * one[name] for one in trials])

    above = [100 * (one["test"] - plains[one["seed"]]["test"]) for one in trials if one["seed"] in plains]
    return {
        unit: "all" if arm == "baseline" else f"{target:g} times fewer",
        "way": ARMS[arm],
        "seeds": len(trials),
        "not trained on, validation (%)": percent("untrained_validation"),
        "trained on, validation (%)": percent("validation"),
        "trained on, test (%)": percent("test"),
        "above torch-pruning (points)": results.mean_and_deviation(above)
        if above and arm != "plain"
        else None,
        "million MACs": statistics.fmean(one["macs"] for one in trials) / 1e6,
        "thousand parameters": statistics.fmean(one["parameters"] for one in trials) / 1e3,
        "core-seconds of training on": None
        if arm == "baseline"
        else round(statistics.fmean(one["core_seconds"] for one in trials)),
    }


if __name__ == "__main__":
    sys.exit(main())
