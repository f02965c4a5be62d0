"""Networks with what their authors' code does: shapes, constructors, parts that no layer holds."""

from benchmarks.cases.base import STEPS, Case, Said, learned, network

NET = """
class Net(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.one, self.two = nn.Conv2d(channels, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.head = nn.Linear(16 * 16, classes)
        self.more()
    def more(self):
        pass
    def forward(self, x):
        x = nn.functional.max_pool2d(self.two(self.one(x).relu()).relu(), 2)
        return self.head(self.flat(x))
    def flat(self, x):
        return x.flatten(1)
"""
BUILD = "def build(channels, classes):\n    return Mine(channels, classes)\n"
TRAIN = "steps:\n  - train: {epochs: 3, batch: 32, learning_rate: 0.05}\n"


def mine(body: str) -> str:
    """A subclass of the network above with these members."""
    return f"{NET}\nclass Mine(Net):\n{body}\n{BUILD}"


def _macs(said: Said) -> str:
    if wrong := learned(said):
        return wrong
    before = said.answer["baseline"]["results"]["macs"]
    ratio = before / said.trials[-1]["results"]["macs"]
    explained = any(
        word in said.messages
        for word in ("stay whole", "stays whole", "kept whole", "fewer", "more than", "whole")
    )
    return (
        ""
        if 1.5 <= ratio <= 2.6 or explained
        else f"{ratio:.2f} × fewer MACs where 2 × was asked, and nothing said"
    )


def _guesses(said: Said) -> str:
    told = "remarks" in said.trials[-1] and "no better than guessing" in said.messages
    return "" if told else f"nothing said at accuracies of {said.accuracies}"


def _frozen(said: Said) -> str:
    if wrong := learned(said):
        return wrong
    from safetensors.numpy import load_file

    files = [load_file(path) for path in said.folder.glob("w/store/objects/*/*/model.safetensors")]
    filters = [file["one.weight"] for file in files if "one.weight" in file]
    moved = [one for one in filters if abs(one - one.flat[0]).max() > 0]
    return (
        ""
        if filters and not moved
        else f"{len(moved)} of {len(filters)} checkpoints have other fixed filters"
    )


NETWORKS = (
    Case(
        "B01", "x.view(x.size(0), -1)", network(mine("    def flat(self, x): return x.view(x.size(0), -1)"))
    ),
    Case(
        "B02",
        ".item() in the constructor",
        network(mine("    def more(self): self.rate = torch.linspace(0, 0.1, 3)[1].item()")),
    ),
    Case(
        "B03",
        "plain tensor attributes",
        network(
            mine(
                "    def more(self): self.scale = torch.full((1, 256), 0.5)\n"
                "    def flat(self, x): return x.flatten(1) * self.scale"
            )
        ),
    ),
    Case(
        "B05",
        "fixed filters (requires_grad=False)",
        network(
            mine(
                "    def more(self):\n        nn.init.constant_(self.one.weight, 0.1)\n"
                "        self.one.weight.requires_grad = False"
            ),
            "steps:\n  - train: {epochs: 2, batch: 32, learning_rate: 0.05}\n  - calibrate\n"
            "  - finetune: {epochs: 1, batch: 32}\nsweep: {finetune.learning_rate: [0.01, 0.02]}\n",
        ),
        _frozen,
    ),
    Case(
        "B07",
        "an RGB backbone fed by expand",
        network(
            "class Mine(nn.Module):\n    def __init__(self, channels, classes):\n        super().__init__()\n"
            "        self.head = nn.Linear(8, classes)\n        self.one = nn.Conv2d(3, 8, 3, padding=1)\n"
            "        self.pool = nn.AdaptiveAvgPool2d(2)\n        self.mix = nn.Linear(32, 8)\n"
            "    def forward(self, x):\n        x = self.pool(self.one(x.expand(-1, 3, -1, -1)).relu()).flatten(1)\n"
            "        return self.head(self.mix(x).relu())\n" + BUILD,
            STEPS.replace("epochs: 3", "epochs: 12"),
        ),
    ),
    Case(
        "B08",
        "weight_norm",
        network(mine("    def more(self): nn.utils.parametrizations.weight_norm(self.two)")),
        refusal=True,
    ),
    Case(
        "B08s",
        "spectral_norm",
        network(mine("    def more(self): nn.utils.parametrizations.spectral_norm(self.two)")),
        refusal=True,
    ),
    Case(
        "B10",
        "auxiliary outputs in training",
        network(
            mine(
                "    def forward(self, x):\n        out = super().forward(x)\n"
                "        return (out, out) if self.training else out"
            )
        ),
    ),
    Case(
        "B10d",
        "a dict of outputs",
        network(mine("    def forward(self, x): return {'logits': super().forward(x)}")),
        refusal=True,
    ),
    Case(
        "B12",
        "PixelShuffle, chunk, GroupNorm before channels",
        network(
            mine(
                "    def more(self):\n        self.up, self.norm = nn.PixelShuffle(2), nn.GroupNorm(4, 16)\n"
                "        self.mid = nn.Conv2d(16, 32, 3, padding=1)\n"
                "        self.back = nn.Conv2d(8, 16, 3, stride=2, padding=1)\n"
                "    def forward(self, x):\n        x = self.norm(self.two(self.one(x).relu())).relu()\n"
                "        x = self.back(self.up(self.mid(x)))\n        a, b = x.chunk(2, 1)\n"
                "        x = nn.functional.max_pool2d(torch.cat([a, b.sigmoid() * a], 1), 2)\n"
                "        return self.head(x.flatten(1))"
            ),
            TRAIN + "  - prune.channels: {speedup: 2}\n  - finetune: {epochs: 2, batch: 32}\n",
        ),
        _macs,
        refusal=True,
    ),
    Case(
        "B14",
        "batch size used as a number",
        network(mine("    def flat(self, x): return x.reshape(int(x.shape[0]), -1)")),
        refusal=True,
    ),
    Case(
        "B34",
        "INT8 of depthwise convolutions",
        network(
            mine(
                "    def more(self):\n        deep = nn.Conv2d(8, 8, 3, 2, 1, groups=8)\n"
                "        self.two = nn.Sequential(deep, nn.BatchNorm2d(8), nn.Hardswish(), nn.Conv2d(8, 16, 1))"
            ),
            TRAIN + "  - quantize.static: {images: 64}\n",
        ),
    ),
    Case(
        "B35",
        "batch 1",
        network(
            mine(
                "    def more(self): self.head = nn.Sequential(nn.Linear(256, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))"
            ),
            "steps:\n  - train: {epochs: 1, batch: 1, learning_rate: 0.01}\n",
        ),
    ),
    Case(
        "B35l",
        "a last batch of one image",
        network(
            mine(
                "    def more(self): self.head = nn.Sequential(nn.Linear(256, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))"
            ),
            "steps:\n  - train: {epochs: 6, batch: 7, learning_rate: 0.02}\n",
            "{name: data.py:load, limit: 281}",
        ),
    ),
    Case(
        "B38",
        "a network that scales what is scaled, and learns nothing",
        network(mine("    def forward(self, x): return super().forward(x / 255 / 255)"), TRAIN),
        _guesses,
    ),
    Case(
        "X02",
        "factorize a subclass of Conv2d, at nearly full rank",
        network(
            "class Same(nn.Conv2d):\n    def forward(self, x):\n"
            "        return super().forward(nn.functional.pad(x, (1, 0, 1, 0)))\n"
            + mine("    def more(self): self.two = Same(8, 16, 2, stride=2)"),
            TRAIN + "  - factorize: {rank: {kind: ratio, ratio: 0.99}, skip: [head]}\n",
        ),
    ),
)
