"""How long another limit takes where a table of layers by levels is there: solving, with nothing scored anew.

    python -m benchmarks.solver [--network resnet50] [--levels 16] [--limits 12]

Of a network as large as ImageNet's the tables are drawn: what layers save is counted, as a `sensitivity` step does,
what they lose is not measured. Weights and channels are solved for ever tighter limits of the loss and of
multiply-accumulates; networks of fewer channels are counted exactly and solved anew until a limit just holds. Written
to benchmarks/results/solver.json. Seconds are the processor's. Exits with 1 where a limit took more than one.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import results, trained
from engine.compute.layers.select import prunable_layers, weight_of
from engine.compute.measures.counts import count
from engine.compute.pretrained.create import create
from engine.compute.steps.channels.narrower import shrinkable, widths
from engine.params.preset import Model
from engine.search.proposals import QUALITY, Table
from engine.search.widths import WIDTHS, Widths

SHAPE = (3, 224, 224)
MOST_S = 1.0
LOSSES = (0.003, 0.3)
"""What of its quality a layer loses at the highest rate, from and to."""


def tables(network: str, levels: int) -> dict[str, dict[str, Any]]:
    """What a step would find of weights and of channels, with losses that are drawn."""
    model, _ = create(Model(name=network), channels=SHAPE[0], classes=1000, size=SHAPE[1:], seed=0)
    counts, chance = count(model, SHAPE), random.Random(0)
    rates = [0.98 * (level + 1) / levels for level in range(levels)]
    reference = {"validation_accuracy": 0.8, "parameters": counts.parameters, "macs": counts.macs}
    macs = {layer.name.removesuffix(".weight"): layer.macs for layer in counts.layers}
    weights = {
        name: (weight_of(layer).numel(), macs[name]) for name, layer in prunable_layers(model, ()).items()
    }
    told = widths(*shrinkable(model, ()), None)
    counted = Widths(told, None)

    def rows(saved: Mapping[str, Any], of: str) -> Iterator[dict[str, Any]]:
        for layer in saved:
            worst = chance.uniform(*LOSSES)
            for rate in rates:
                row = {"layer": layer, "rate": rate, "validation_accuracy": 0.8 - worst * rate**3}
                if of == "weights":
                    parameters, own = weights[layer]
                    left = {
                        "parameters": counts.parameters - rate * parameters,
                        "macs": counts.macs - rate * own,
                    }
                else:
                    units = counted.units[layer]
                    left = counted.amounts({layer: max(units - round(rate * units), 1)})
                yield row | left

    return {
        "weights": {"of": "weights", "reference": reference, "rows": list(rows(weights, "weights"))},
        "channels": {
            "of": "channels",
            "reference": reference | counted.whole,
            "rows": list(rows(counted.units, "channels")),
            WIDTHS: told,
        },
    }


def limits(table: Table, number: int) -> Iterator[tuple[str, dict[str, float]]]:
    """What is asked: least of a measure within a loss, and least loss within a measure."""
    for place in range(1, number + 1):
        yield "macs", {QUALITY: 0.2 * place / number}
        yield QUALITY, {"macs": table.before["macs"] * (1 - 0.85 * place / number)}


def rows_of(network: str, levels: int, number: int) -> list[dict[str, Any]]:
    rows = []
    for of, scanned in tables(network, levels).items():
        table, seconds = Table(scanned), []
        for least, within in limits(table, number):
            started = time.process_time()  # what others take of the machine is not the solver's
            proposal = table.propose(least, within)
            seconds.append(time.process_time() - started)
            for name, most in within.items():
                if proposal is not None:
                    has = proposal.loss if name == QUALITY else proposal.amounts[name]
                    assert has <= most * (1 + 1e-6), (of, least, within, has)
        row = {
            "table": of,
            "layers or groups": len(table.layers),
            "levels": levels,
            "limits": len(seconds),
            "mean (processor s)": round(sum(seconds) / len(seconds), 3),
            "most (processor s)": round(max(seconds), 3),
        }
        results.tell(row)
        rows.append(row)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--levels", type=int, default=16)
    parser.add_argument("--limits", type=int, default=12)
    args = trained.parsed(parser, "--limits 2")
    rows = rows_of(args.network, args.levels, args.limits)
    about = f"Tables of {args.network} at {args.levels} levels, solved for {2 * args.limits} limits each."
    if not args.quick:
        results.write("solver", rows, title="Another limit from a table", about=about)
    return results.judged({f"at most {MOST_S:g} s": all(row["most (processor s)"] <= MOST_S for row in rows)})


if __name__ == "__main__":
    sys.exit(main())
