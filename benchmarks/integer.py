"""How far inference in integers agrees with the simulated network and with ONNX Runtime.

    python benchmarks/integer.py results/digits int8 [--network small_resnet]

For each subset of a study that has a variant with ``inference: integer``, on all test images: the
share of codes between layers that differ from the simulated network's with exact sums and from
what torch computes in float32, and by more than one; the same where float32 gets each operation's
inputs from the integers; the largest difference of logits from both and from ONNX Runtime's, in
steps of an 8-bit grid over them; the predictions that differ; seconds of one core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from laq import data
from laq.checkpoints import inference, packing
from laq.models import networks
from laq.onnx import runtime
from laq.onnx.export import export
from laq.ptq.activation_quantizer import InputQuantizer

IMAGES = 256  # at once, for the codes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("variant")
    parser.add_argument("--network", default="small_resnet")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    folder = chosen.root / "dataset"
    test = data.load(folder / "test.npz", folder / "classes.json")
    found = sorted(
        (chosen.root / "models" / chosen.network).glob(f"*/{chosen.variant}.safetensors")
    )
    for path in found:
        print(path.parent.name, measure(path, test))


@torch.no_grad()
def measure(path: Path, test: data.Dataset) -> str:
    made = {
        "integer": inference.load(path),
        "simulated": inference.simulated(path),
        "float32": packing.load(path),
    }
    images = torch.from_numpy(test.images)
    logits, seconds = {}, {}
    for name, network in made.items():
        start = time.perf_counter()
        logits[name] = networks.predict(network, images, torch.device("cpu"))
        seconds[name] = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        export(path, file, test.images.shape[1:])
        logits["ONNX Runtime"] = torch.from_numpy(runtime.predict(file, test.images))
    parts = []
    for name, teach in (("simulated", False), ("float32", False), ("float32", True)):
        total, differ, beyond = 0, 0, 0
        for batch in images.split(IMAGES):
            x = networks.to_input(batch)
            mine = integer_codes(made["integer"], x)
            for one, other in zip(mine, codes(made[name], x, mine if teach else None), strict=True):
                apart = (one - other).abs()
                total += apart.numel()
                differ += int((apart > 0).sum())
                beyond += int((apart > 1).sum())
        parts.append(
            f"codes of {name}{' by operation' if teach else ''}: {differ / total:.1e} differ, "
            f"{beyond / total:.1e} by more than 1"
        )
    mine = logits.pop("integer")
    step = (mine.max() - mine.min()) / 255
    for name, theirs in logits.items():
        flips = int((mine.argmax(1) != theirs.argmax(1)).sum())
        parts.append(
            f"{name}: {float((mine - theirs).abs().max() / step):.2g} steps, {flips} flips"
        )
    parts.append(", ".join(f"{name} {spent:.2f} s" for name, spent in seconds.items()))
    return "; ".join(parts)


def codes(network: nn.Module, images: Tensor, given: list[Tensor] | None = None) -> list[Tensor]:
    """Codes of the simulated network's quantizers, in their order.

    given: what goes on in their place, so that each operation is seen by itself.
    """
    found: list[Tensor] = []

    def keep(own: InputQuantizer, _: Any, out: Tensor) -> Tensor:
        found.append((out / own.step).round() + own.zero)
        return out if given is None else (given[len(found) - 1].float() - own.zero) * own.step

    hooks = [
        module.register_forward_hook(keep)
        for module in network.modules()
        if isinstance(module, InputQuantizer)
    ]
    network(images)
    for hook in hooks:
        hook.remove()
    return found


def integer_codes(network: nn.Module, images: Tensor) -> list[Tensor]:
    """What the operations of the integer network give, maxima and clips left out."""
    found: list[Tensor] = []

    class Recorder(fx.Interpreter):
        def run_node(self, node: fx.Node) -> Any:
            value = super().run_node(node)
            made = node.op == "call_module" and node.target.startswith("operations.")
            kind = type(self.fetch_attr(node.target)).__name__ if made else ""
            if kind in ("Quantize", "Layer", "Sum", "Mean"):
                found.append(value)
            return value

    Recorder(network.body).run(images)
    return found


if __name__ == "__main__":
    main()
