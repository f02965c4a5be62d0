"""What a table of layers by levels is worth: weights and channels removed without training, at one amount in all.

    python -m benchmarks.scopes [--data fashion-mnist] [--images 20000] [--epochs 6] [--seeds 0 1 2] [--of weights]

For each seed one network is trained, and what each layer costs alone is measured once (`sensitivity`). Then weights are
pruned, or channels removed, to the same amount with each scope: over the whole model by importance (`global`), at
rates of equal predicted loss (`sensitivity`), and at rates of least predicted loss in sum (`solved`). BatchNorm's
statistics are estimated anew. Validation alone is looked at. Results are kept in --folder by seed and arm, and
written to benchmarks/results/scopes.json. Last, rates of each layer are drawn at random, and the order of such
networks by predicted and by real loss is compared.
"""

import argparse
import copy
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from typing import Any, Literal

from torch import nn

from benchmarks import results, trained
from engine.compute.context import validate
from engine.compute.data import Dataset
from engine.compute.layers.masks import set_mask
from engine.compute.layers.select import weight_of
from engine.compute.models import checkpoint
from engine.compute.steps.apply import apply
from engine.compute.steps.pruning.rounds import keep_largest
from engine.compute.steps.rates import findings
from engine.params import Calibrate, PruneChannels, PruneWeights, Sensitivity, Step
from engine.results.tolerance import cost_at, loss_curves

Scope = Literal["global", "sensitivity", "solved"]
QUICK = f"{trained.DIGITS} --of weights"
QUICK_AT, QUICK_TAU = "90 % sparse", 0.7
DRAWN = 16
"""Networks with rates drawn at random, of which the table predicts the order."""
SCOPES: tuple[Scope, ...] = ("global", "sensitivity", "solved")
AMOUNTS: dict[str, Callable[[Scope], Step]] = {
    "80 % sparse": lambda scope: PruneWeights(sparsity=0.8, scope=scope),
    "90 % sparse": lambda scope: PruneWeights(sparsity=0.9, scope=scope),
    "2 × fewer MACs": lambda scope: PruneChannels(speedup=2, scope=scope, repair=False, calibrate=False),
    "4 × fewer MACs": lambda scope: PruneChannels(speedup=4, scope=scope, repair=False, calibrate=False),
}
TABLES: dict[str, Sensitivity] = {
    "prune.weights": Sensitivity(of="weights", rates=(0.5, 0.7, 0.8, 0.9, 0.95, 0.98)),
    "prune.channels": Sensitivity(of="channels", criterion="l2", rates=(0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9)),
}


def trial(args: argparse.Namespace, data: Dataset, seed: int, step: Step) -> dict[str, float]:
    """Accuracy in percent and loss on validation, and the seconds that the step took without its table."""
    model = copy.deepcopy(_measured(args, data, seed, step.kind))
    started = time.monotonic()
    model = apply(step, model, trained.context(data, seed, 2))
    seconds = time.monotonic() - started
    model = apply(Calibrate(), model, trained.context(data, seed, 3))
    score = validate(model, trained.context(data, seed, 0))
    return {"accuracy": 100 * score.accuracy, "loss": score.known_loss, "seconds": seconds}


def whole(args: argparse.Namespace, data: Dataset, seed: int) -> dict[str, float]:
    score = validate(trained.baseline(args, data, seed), trained.context(data, seed, 0))
    return {"accuracy": 100 * score.accuracy, "loss": score.known_loss}


def _measured(args: argparse.Namespace, data: Dataset, seed: int, kind: str) -> nn.Module:
    """The seed's network with what each layer of it costs alone in its notes, from --folder if it is there."""
    named = [kind, args.model, args.data, args.images, args.size, args.epochs, args.rate, args.batch, seed]
    folder = args.folder / f"table-{trained.joined(named)}"
    if not (folder / checkpoint.RECIPE).is_file():
        started = time.monotonic()
        model = copy.deepcopy(trained.baseline(args, data, seed))
        model = apply(TABLES[kind], model, trained.context(data, seed, 1))
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint.save(model, folder)
        print(f"  {kind}: table of seed {seed} in {time.monotonic() - started:.0f} s", flush=True)
    return checkpoint.load(folder)


def rows_of(args: argparse.Namespace, data: Dataset) -> list[dict[str, Any]]:
    """A row for each amount and scope: what it lost on validation, by seed the mean and deviation."""
    before = {s: trained.kept(args, ["whole", s], partial(whole, args, data, s)) for s in args.seeds}
    rows = []
    for amount, made in AMOUNTS.items():
        for scope in SCOPES if made("global").rates_of in args.of else ():
            step = made(scope)
            about = [amount, scope, f"{step.kind}v{step.version}"]
            found = {
                s: trained.kept(args, [*about, s], partial(trial, args, data, s, step)) for s in args.seeds
            }
            rises = [one["loss"] - before[s]["loss"] for s, one in found.items()]
            lost = [before[s]["accuracy"] - one["accuracy"] for s, one in found.items()]
            row = {
                "amount": amount,
                "scope": scope,
                "lost, validation (points)": results.mean_and_deviation([round(one, 2) for one in lost]),
                "loss rises by": round(statistics.fmean(rises), 4),
                "seconds": round(statistics.fmean(one["seconds"] for one in found.values()), 2),
            }
            results.tell(row)
            rows.append(row)
    return rows


def drawn(args: argparse.Namespace, data: Dataset, seed: int, number: int) -> dict[str, float]:
    """A network with a rate drawn for each layer: the rise of the loss as the table predicts it, and as it is."""
    model = _measured(args, data, seed, "prune.weights")
    curves = loss_curves(findings(model, "weights")["rows"])
    chance, harsh = random.Random(number), 0.5 + 0.45 * number / DRAWN
    rates = {name: harsh * chance.uniform(0.8, 1.0) for name in curves}
    for name, rate in rates.items():
        layer = model.get_submodule(name)
        set_mask(layer, keep_largest(weight_of(layer).detach().abs(), rate))
    model = apply(Calibrate(), model, trained.context(data, seed, 3))
    loss = validate(model, trained.context(data, seed, 0)).known_loss
    return {"predicted": sum(cost_at(curves[name], rate) for name, rate in rates.items()), "loss": loss}


def kendall(pairs: Sequence[tuple[float, float]]) -> float:
    """Kendall's τ: pairs that two orders agree on less those that they don't, over all.

    >>> kendall([(1, 1), (2, 3), (3, 2)])
    0.3333333333333333
    """
    signs = [(a - c) * (b - d) for (a, b), (c, d) in combinations(pairs, 2)]
    return sum((sign > 0) - (sign < 0) for sign in signs) / len(signs)


def orders(args: argparse.Namespace, data: Dataset) -> dict[str, float]:
    """Of each seed, how far the predicted order of networks with drawn rates is the real one (Kendall's τ)."""
    found = {}
    for seed in args.seeds:
        rows = [
            trained.kept(args, ["drawn", number, seed], partial(drawn, args, data, seed, number))
            for number in range(DRAWN)
        ]
        found[f"seed {seed}"] = round(kendall([(row["predicted"], row["loss"]) for row in rows]), 3)
    print(f"τ of predicted and real loss, {DRAWN} networks: {found}", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/scopes")
    parser.add_argument("--of", nargs="+", default=["weights", "channels"], choices=["weights", "channels"])
    args = trained.parsed(parser, QUICK)
    data = trained.prepare(args)
    about = f"{args.model}, {args.images or 'all'} images of {args.data}, {args.epochs} epochs, seeds {args.seeds}"
    rows, taus = rows_of(args, data), orders(args, data)
    if args.quick:
        return results.judged(claims(rows, taus))
    told = ", ".join(f"{tau} ({seed})" for seed, tau in taus.items())
    about += f". Of {DRAWN} networks with drawn rates, predicted and real loss agree in order by Kendall's τ: {told}"
    results.write("scopes", rows, title="Rates from a table, without training", about=about, kendall=taus)
    return 0


def claims(rows: list[dict[str, Any]], taus: dict[str, float]) -> dict[str, bool]:
    """What the quick form finds of weights."""
    rises = {row["scope"]: row["loss rises by"] for row in rows if row["amount"] == QUICK_AT}
    return {
        f"solved rates lose less than one norm for all at {QUICK_AT}": rises["solved"] < rises["global"],
        f"τ at least {QUICK_TAU:g}": min(taus.values()) >= QUICK_TAU,
    }


if __name__ == "__main__":
    sys.exit(main())
