"""Accuracy of INT8 files: `quantize.static` against `quantize.qat`, from the same trained network.

For each seed one network is trained, and made an INT8 file in three ways: statically, statically after fine-tuning
(with the epochs and learning rate of quantization-aware training: so much of its gain is more training alone), and by
quantization-aware training. All accuracies are the files', on the whole test split, scored once; the network trained
with fake quantization is scored beside its file on validation.

    python -m benchmarks.qat [--images 20000] [--epochs 6] [--finetune 2] [--finetune-rate 0.002] [--seeds 0 1 2]
                             [--qat scales=observed optimizer=adam …] [--static method=entropy …]

--epochs and --rate train the network, --finetune and --finetune-rate what follows. Results are kept in --folder, by
seed. Prints each seed's, then mean ± deviation of each accuracy and of its difference to the float network's.
"""

import argparse
import statistics
import sys
from functools import partial
from typing import Any

from benchmarks import results, trained
from engine.compute.data import Dataset
from engine.compute.steps.apply import apply
from engine.compute.steps.quantization.qat import DIFFERENCE
from engine.params import QuantizeQat, QuantizeStatic

QUICK = f"{trained.DIGITS} --finetune 1"
QUICK_LOST, QUICK_OFF = 1.0, 0.6
ARMS = ("float", "fine-tuned", "static", "fine-tuned static", "qat")


def trial(args: argparse.Namespace, data: Dataset, seed: int) -> dict[str, Any]:
    scores = {"float": trained.tested(trained.baseline(args, data, seed), data)}
    static = QuantizeStatic.model_validate(trained.settings(args.static), strict=False)
    file = apply(static, trained.baseline(args, data, seed), trained.context(data, seed, 1))
    scores["static"] = trained.tested(file, data)

    step = trained.finetune(args)
    tuned = apply(step, trained.baseline(args, data, seed), trained.context(data, seed, 1))
    scores["fine-tuned"] = trained.tested(tuned, data)
    scores["fine-tuned static"] = trained.tested(apply(static, tuned, trained.context(data, seed, 2)), data)

    common = step.model_dump(exclude={"id", "enabled"})
    qat = QuantizeQat.model_validate({**common, **trained.settings(args.qat)}, strict=False)
    context = trained.context(data, seed, 1)
    scores["qat"] = trained.tested(apply(qat, trained.baseline(args, data, seed), context), data)
    accuracies = {name: 100 * scores[name] for name in ARMS}
    print(
        f"seed {seed}: " + ", ".join(f"{name} {value:.2f} %" for name, value in accuracies.items()),
        flush=True,
    )
    return accuracies | {DIFFERENCE: context.observations[DIFFERENCE]}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/qat")
    parser.set_defaults(finetune=2, finetune_rate=0.002, precision="fp32")
    parser.add_argument("--qat", nargs="*", default=[], metavar="PARAMETER=VALUE")
    parser.add_argument("--static", nargs="*", default=[], metavar="PARAMETER=VALUE")
    args = trained.parsed(parser, QUICK)
    data = trained.prepare(args)
    about = ["qat", *sorted(args.qat), "static", *sorted(args.static)]
    trials = [trained.kept(args, [*about, seed], partial(trial, args, data, seed)) for seed in args.seeds]
    print(f"\ntest accuracy over {len(trials)} seeds, and points gained on the float network")
    for name in ARMS:
        gained = trained.spread([one[name] - one["float"] for one in trials])
        print(f"{name:18} {trained.spread([one[name] for one in trials])} %   {gained}")
    print(
        f"file less fake-quantized network, on validation: {trained.spread([one[DIFFERENCE] for one in trials])} points"
    )
    if not args.quick:
        return 0
    behind = statistics.fmean(one["float"] - one["qat"] for one in trials)
    return results.judged(
        {
            f"the file is at most {QUICK_LOST:g} points behind the float network": behind <= QUICK_LOST,
            f"and {QUICK_OFF:g} from what was trained": all(
                abs(one[DIFFERENCE]) <= QUICK_OFF for one in trials
            ),
        }
    )


if __name__ == "__main__":
    sys.exit(main())
