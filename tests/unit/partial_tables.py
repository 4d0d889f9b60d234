"""Tables of partial training with a known truth, in the form in which jobs write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from laq.experiments.partial import headers
from laq.experiments.partial.headers import Packed, Tensor, WeightHeader
from laq.utils.files import write_csv

# A layer's name and weights; one step each.
RESNET = {
    "stem.0": 144,
    "stages.0.conv1": 2304,
    "stages.0.conv2": 2304,
    "stages.1.conv1": 4608,
    "stages.1.conv2": 9216,
    "stages.1.shortcut.0": 512,
    "stages.2.conv1": 18432,
    "stages.2.conv2": 36864,
    "stages.2.shortcut.0": 2048,
    "head": 641,
}
VIT = {
    "patches": 768,
    **{
        f"blocks.{block}.{name}": weights
        for block in range(3)
        for name, weights in (
            ("attention.qkv", 6912),
            ("attention.proj", 2304),
            ("mlp.fc1", 4608),
            ("mlp.fc2", 4608),
        )
    },
    "head": 480,
}
NETWORKS = {"small_resnet": RESNET, "small_vit": VIT}
HEADER, OTHERS = 3000, 2400  # bytes
IMAGES = 2000
GROUPS = {"attention": 0.02, "mlp": 0.005, "head": 0.001}
RIVALS = {"gpfq_4": (4, 0.05, 0.14), "mixed_4": (4, 0.03, 0.14)}

Drop = Callable[[str, str, float, int, float], float]


def power(network: str, position: str, bits: float, k: int, share: float) -> float:
    """A drop that grows as a power of the share of layers: more at 2 bits, and for first layers."""
    whole = {2: 0.06, 4: 0.02, 8: 0.0}[int(bits)]
    return whole * share ** {"first": 1.0, "middle": 1.5, "last": 2.0}.get(position, 1.0)


def taken(layers: Sequence[str], position: str, k: int) -> list[str]:
    first = {"first": 0, "last": len(layers) - k, "middle": (len(layers) - k) // 2}[position]
    return list(layers[first : first + k])


def packed(values: int, bits: float) -> int:
    return -(-values * int(bits) // 8) + 4


def runs(
    drop: Drop = power,
    noise: float = 0.002,
    networks: Sequence[str] = ("small_resnet", "small_vit"),
    bits: Sequence[int] = (2, 4),
    ks: Sequence[int] = (1, 2, 4, 6, 8),
    repeats: int = 3,
    seed: int = 0,
    subset: str | None = "even",
    aware: float = 0.5,
    single: Callable[[float], float] = lambda depth: 0.01 * (1 - depth),
    named: Mapping[str, float] = GROUPS,
    rivals: Mapping[str, tuple[float, float, float]] | None = None,
) -> pd.DataFrame:
    """All runs. aware: drops on a subset's classes are so many times those on all.

    rivals: of whole networks, name to method's bits, accuracy lost and share of the float bytes.
    """
    rng = np.random.default_rng(seed)
    rows: list[dict] = []
    rivals = RIVALS if rivals is None else rivals
    for network in networks:
        layers = NETWORKS[network]
        names = list(layers)
        arms = [Shape("float", "float", "none", 32, 0, [], 0.0)]
        for width in bits:
            whole = drop(network, "whole", width, len(names), 1.0)
            arms.append(Shape(f"whole_{width}", "qat", "whole", width, len(names), names, whole))
            for position in ("first", "middle", "last"):
                for k in ks:
                    lost = drop(network, position, width, k, k / len(names))
                    chosen = taken(names, position, k)
                    arms.append(Shape(f"{position} {k}", "qat", position, width, k, chosen, lost))
            for place, name in enumerate(names, 1):
                lost = single((place - 1) / (len(names) - 1))
                arms.append(Shape(name, "qat", "single", width, place, [name], lost))
            for group, lost in named.items() if network == "small_vit" else ():
                chosen = [name for name in names if group in name]
                arms.append(Shape(group, "qat", "named", width, len(chosen), chosen, lost))
        for name, (width, lost, share) in rivals.items():
            arms.append(Shape(name, "compress", "whole", width, len(names), names, lost, share))
        for arm in arms:
            for repeat in range(1, repeats + 1):
                places = [("all", "all", "all", 1.0)]
                if subset and arm.position not in ("single", "named"):
                    places += [("all", subset, "subset", 1.0), (subset, subset, "subset", aware)]
                for classes, tested, scope, factor in places:
                    top1 = 0.95 - factor * arm.lost + noise * rng.standard_normal()
                    correct = round(float(np.clip(top1, 0, 1)) * IMAGES)
                    place = {"repeat": repeat, "classes": classes, "tested": tested}
                    rate = {"scope": scope, "n": IMAGES, "correct": correct}
                    rate["top1"] = correct / IMAGES
                    own = arm.row(layers, repeat)
                    rows.append({"network": network, **own, **place, **rate})
    return pd.DataFrame(rows)


@dataclass
class Shape:
    """An arm: what it truly loses, and the share of the float bytes that it takes, if known."""

    arm: str
    method: str
    position: str
    bits: int
    k: int
    chosen: list[str]
    lost: float
    size: float | None = None

    def row(self, layers: Mapping[str, int], repeat: int) -> dict:
        total, values = sum(layers.values()), [layers[name] for name in self.chosen]
        before, codes = HEADER + OTHERS + 4 * total, sum(packed(v, self.bits) for v in values)
        own = before
        if values and self.bits != 32:
            weights = [WeightHeader(name, "Linear", (1, count)) for name, count in layers.items()]
            chosen = [Packed(w, 1, int(self.bits)) for w in weights if w.layer in self.chosen]
            floats = [Tensor(f"{w.layer}.weight", w.shape) for w in weights]
            own = headers.quantized(before, floats, weights, chosen) + repeat  # they differ a bit
        return {
            "arm": self.arm,
            "method": self.method,
            "position": self.position,
            "trained": "all",
            "bits": self.bits,
            "input_bits": 32,
            "k": self.k,
            "layers": " ".join(self.chosen),
            "weights_share": sum(values) / total,
            "bytes": own if self.size is None else round(before * self.size),
            "update_bytes_float": 700 + 4 * sum(values) if values else before,
            "update_bytes": codes + 700 + 100 * len(values) if values else before,
            "step_bytes_float": 4 * total,
            "step_bytes": 4 * total - 3 * sum(values),
        }


def tensors(network: str, bits: Sequence[int] = (2, 4)) -> pd.DataFrame:
    """Every weight of some arms, in the form of ``partial_qat/{network}/tensors.csv``."""
    rows = []
    names = list(NETWORKS[network])
    for width in (32, *bits):
        for k in (1, len(names)) if width != 32 else (0,):
            chosen = taken(names, "last", k) if k else []
            # Not in the order of calls, as a network's state is not.
            for name in sorted(names):
                values, quantized = NETWORKS[network][name], name in chosen
                rows.append(
                    {
                        "network": network,
                        "method": "qat" if k else "float",
                        "bits": width,
                        "k": k,
                        "tensor": f"{name}.weight",
                        "role": "weight",
                        "kind": "Linear",
                        "shape": f"1x{values}",
                        "numbers": values,
                        "quantized": "yes" if quantized else "no",
                        "tensor_bits": width if quantized else 32,
                        "bytes": packed(values, width) if quantized else 4 * values,
                    }
                )
    return pd.DataFrame(rows)


def write(folder: Path, table: pd.DataFrame) -> Path:
    """Both kinds of tables below ``folder``; the path of the first."""
    for network in dict.fromkeys(table["network"]):
        (folder / network).mkdir(parents=True, exist_ok=True)
        write_csv(folder / network / "tensors.csv", tensors(network))
    write_csv(folder / "runs.csv", table)
    return folder / "runs.csv"
