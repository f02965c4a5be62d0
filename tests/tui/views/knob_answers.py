"""Techniques and answers of a knob for tests of how it is shown."""

from engine.studies.knob import Answer, Baseline, Costs, Technique

WEIGHTS = Technique(
    "weights", "weights at zero", "%", 0.0, 0.99, 0.01, 0.0, how="by magnitude, over all layers"
)
CHANNELS = Technique("channels", "times fewer multiply-accumulates", "×", 1.0, 16.0, 0.1, 1.0)
BITS = Technique("bits", "bits of a weight", "bits", 2.0, 8.0, 1.0, 8.0)
BASELINE = Baseline(
    0.95, 5000, Costs(1_100_000, 370_000, 272_000, 272_000, 41_000_000, 41_000_000, 1.6), "torch.1"
)


def answer(
    number: int, technique: Technique, value: float, quality: float = 0.93, images: int = 214, of: int = 2000
) -> Answer:
    return Answer(
        number=number,
        technique=technique.name,
        value=value,
        quality=quality,
        error=0.004,
        images=images,
        of=of,
        costs=Costs(1_100_000, 84_000, 272_000, 54_000, 41_000_000, 9_000_000, 1.6),
        levels={f"layer{n}.conv": n / 30 for n in range(30)},
        seconds=0.1,
        final=images == of,
        added=[{"prune.weights": {"sparsity": value}}],
    )
