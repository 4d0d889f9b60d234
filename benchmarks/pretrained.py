"""A pretrained network quantized by our methods and by ONNX Runtime: agreement, bytes, time.

    python benchmarks/pretrained.py WEIGHTS.pth PHOTOGRAPHS --csv docs/findings/pretrained.csv

By default the network is EfficientNet-Lite0 of timm with weights under other names, at 224 pixels.
The first 150 photographs (every JPEG and PNG file in the folder, by name) are held out; 64 others
calibrate. No label is used: agreement is the share of photographs on which the most likely class is
the float network's, logit_error the relative distance of all logits. Milliseconds are of one image
in ONNX Runtime with one thread; ``quantizing`` is seconds of one core. Rows are added to the CSV
file; those that it already has are not measured again.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.configs import compression as recipe

from laq.checkpoints import inference, packing, pretrained
from laq.data.pictures import read as read_picture
from laq.experiments import compression
from laq.models import networks
from laq.onnx import runtime
from laq.onnx.export import export
from laq.utils import devices

COLUMNS = (
    *("method", "bits", "input_bits", "images", "held_out", "agreement", "logit_error", "bytes"),
    *("milliseconds", "quantizing"),
)
HELD_OUT = 150
CPU = torch.device("cpu")
LITE0 = {
    "name": "timm/tf_efficientnet_lite0",
    "classes": 1000,
    "channels": 3,
    "side": 224,
    "stem": "standard",
    "mean": [0.498, 0.498, 0.498],
    "std": [0.502, 0.502, 0.502],
}


def recipes() -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and ``compress`` entries."""
    for bits in (8, 4, 3, 2):
        yield "rounding", {"method": "rtn", "bits": bits, "alphabet": "symmetric"}
        yield "gpfq, published", {"bits": bits, "alphabet": "paper", "scale": 1.16}
        yield "gpfq", {"bits": bits, "alphabet": "symmetric"}
        yield "gptq", {"method": "gptq", "bits": bits, "alphabet": "symmetric"}
    yield "gpfq", {"bits": 8, "alphabet": "symmetric", "activations": {"bits": 8}}


def load(weights: Path, match: str = "order", **given: Any) -> tuple[nn.Module, dict[str, Any]]:
    """A network with published ``weights``, and the description of its file.

    given: arguments of ``laq.models.networks.create`` other than those of ``LITE0``.
    """
    spec = {**LITE0, **given}
    network = networks.create(**spec)
    pretrained.put_into(network, weights, {"match": match}, False, spec["classes"])
    shape = [spec["channels"], spec["side"], spec["side"]]
    return network, {"network": spec, "images": shape, "bits": 32}


def photographs(folder: Path, side: int, images: int) -> Tensor:
    """uint8 (``HELD_OUT`` + images, 3, side, side), the first by name."""
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    paths = paths[: HELD_OUT + images]
    return torch.from_numpy(
        np.stack([read_picture(str(path), side, "ignored", "ignored")[0] for path in paths])
    )


def milliseconds(path: Path, images: Tensor) -> float:
    """Of one image of sixteen, one at a time, beside what the session takes: the best of three."""

    def seconds(count: int) -> float:
        start = time.perf_counter()
        runtime.predict(path, images[:count].numpy(), batch=1)
        return time.perf_counter() - start

    return 1000 * min((seconds(17) - seconds(1)) / 16 for _ in range(3))


def of_runtime(float_model: Path, target: Path, images: Tensor, **options: Any) -> None:
    """ONNX Runtime's static quantization to 8 bits, a scale a channel, on ``images``."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(images.split(1))

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch.numpy().astype(np.float32) / 255}

    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(float_model, prepared)
    kinds = {"weight_type": QuantType.QInt8, "activation_type": QuantType.QUInt8}
    quantize_static(prepared, target, Reader(), per_channel=True, **kinds, **options)


def measured(logits: Tensor, reference: Tensor) -> dict[str, float]:
    same = (logits.argmax(1) == reference.argmax(1)).double().mean()
    apart = (logits - reference).norm() / reference.norm()
    return {"agreement": round(float(same), 4), "logit_error": round(float(apart), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--architecture", default=LITE0["name"])
    parser.add_argument("--classes", type=int, default=LITE0["classes"])
    parser.add_argument("--match", choices=["names", "order"], default="order")
    parser.add_argument("--side", type=int, default=LITE0["side"])
    parser.add_argument("--mean", type=float, nargs=3, default=LITE0["mean"])
    parser.add_argument("--std", type=float, nargs=3, default=LITE0["std"])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--csv", type=Path, required=True)
    chosen = parser.parse_args()
    torch.set_num_threads(1)

    network, described = load(
        chosen.weights,
        match=chosen.match,
        name=chosen.architecture,
        classes=chosen.classes,
        side=chosen.side,
        mean=chosen.mean,
        std=chosen.std,
    )
    images = photographs(chosen.photographs, chosen.side, chosen.images)
    shown, calibrating = images[:HELD_OUT], images[HELD_OUT:]
    reference = networks.predict(network, shown, CPU)

    done: set[tuple[str, ...]] = set()
    if chosen.csv.exists():
        with chosen.csv.open(newline="") as file:
            done = {(r["method"], r["bits"], r["input_bits"]) for r in csv.DictReader(file)}
    else:
        chosen.csv.parent.mkdir(parents=True, exist_ok=True)
        chosen.csv.write_text(",".join(COLUMNS) + "\n")

    def add(method: str, bits: int, input_bits: int, **found: Any) -> None:
        counts = {"images": len(calibrating), "held_out": len(shown)}
        row = {"method": method, "bits": bits, "input_bits": input_bits, **counts, **found}
        with chosen.csv.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(row)
        print(*row.values(), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        checkpoint, model = Path(folder) / "network.safetensors", Path(folder) / "network.onnx"
        packing.save(checkpoint, network.state_dict(), described)
        export(checkpoint, model)
        if ("float", "32", "32") not in done:
            size, slow = checkpoint.stat().st_size, milliseconds(model, shown)
            found = {"agreement": 1, "logit_error": 0, "bytes": size}
            add("float", 32, 32, **found, milliseconds=round(slow, 2), quantizing=0)
        if ("ONNX Runtime, static", "8", "8") not in done:
            quantized, start = Path(folder) / "quantized.onnx", time.perf_counter()
            of_runtime(model, quantized, calibrating)
            taken = time.perf_counter() - start
            logits = torch.from_numpy(runtime.predict(quantized, shown.numpy()))
            found = {**measured(logits, reference), "bytes": quantized.stat().st_size}
            found["milliseconds"] = round(milliseconds(quantized, shown), 2)
            add("ONNX Runtime, static", 8, 8, **found, quantizing=round(taken, 1))
        for method, entry in recipes():
            settings = recipe(**entry)
            input_bits = entry.get("activations", {"bits": 32})["bits"]
            if (method, str(entry["bits"]), str(input_bits)) not in done:
                add(
                    *(method, entry["bits"], input_bits),
                    **ours(network, calibrating, shown, reference, settings, described, checkpoint),
                )


def ours(
    network: nn.Module,
    calibrating: Tensor,
    shown: Tensor,
    reference: Tensor,
    settings: dict[str, Any],
    described: dict[str, Any],
    checkpoint: Path,
) -> dict[str, float]:
    """Quantize, write the file, read it back, and measure that."""
    start = time.perf_counter()
    made = compression.compress(
        network,
        calibrating,
        settings,
        patches=devices.generator(0, "patches"),
        noise=devices.generator(0, "rounding"),
    )
    taken = time.perf_counter() - start
    described = {**described, "bits": settings["bits"], "transforms": made.transforms}
    packing.save(checkpoint, made.network.state_dict(), described, made.packed)
    model = checkpoint.with_suffix(".onnx")
    export(checkpoint, model)
    logits = networks.predict(inference.load(checkpoint), shown, CPU)
    found = {**measured(logits, reference), "bytes": checkpoint.stat().st_size}
    found["milliseconds"] = round(milliseconds(model, shown), 2)
    return {**found, "quantizing": round(taken, 1)}


if __name__ == "__main__":
    main()
