"""How long it takes to code VGG-16 and AlexNet deeply, and what remains of them.

    python benchmarks/deep_coding.py [--networks vgg16 alexnet] [--coders huffman ans] [--lzma]

Weights at torchvision's shapes are pruned at random to the shares, and have codes of the bits, that
Han et al. (2016, tables 4 and 5) report; codes are spread as linear centroids of magnitude pruning
spread them. Each coder writes a file and reads it back to dense tensors, each in a process of its
own, whose largest resident memory is told. Beside it: general compressors on the dense codes and on
compressed sparse rows.
"""

from __future__ import annotations

import argparse
import json
import lzma
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from laq.checkpoints.deep_container import coders, file, size_formula
from laq.checkpoints.deep_container.sparse_weight import SharedWeight

# Share of the weights kept, in per cent, layer by layer, and bits of a relative index.
KEPT = {
    "vgg16": [58, 22, 34, 36, 53, 24, 42, 32, 27, 34, 35, 29, 36, 4, 4, 23],
    "alexnet": [84, 38, 35, 37, 37, 9, 9, 25],
}
INDEX_BITS = {"vgg16": 5, "alexnet": 4}
CODE_BITS = {nn.Conv2d: 8, nn.Linear: 5}


class Weights(Mapping[str, SharedWeight]):
    """Weights that are made when they are asked for. seconds: that their making took."""

    def __init__(self, network: str) -> None:
        self.network, self.seconds = network, 0.0
        self.layers = [
            (f"{name}.weight", layer)
            for name, layer in architecture(network).named_modules()
            if isinstance(layer, tuple(CODE_BITS))
        ]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, name: str) -> SharedWeight:
        start = time.perf_counter()
        place = [known for known, _ in self.layers].index(name)
        layer = self.layers[place][1]
        shape, share = tuple(layer.weight.shape), KEPT[self.network][place] / 100
        made = weight(shape, share, CODE_BITS[type(layer)], INDEX_BITS[self.network], place)
        self.seconds += time.perf_counter() - start
        return made


def architecture(network: str) -> nn.Module:
    """torchvision's, without memory for its weights."""
    from torchvision import models

    with torch.device("meta"):
        return getattr(models, network)()


def weight(
    shape: tuple[int, ...], share: float, bits: int, index_bits: int, seed: int
) -> SharedWeight:
    """Gaussian weights of which the largest are kept, on 2^bits − 1 evenly spaced centroids."""
    rng = np.random.default_rng(seed)
    places = np.flatnonzero(rng.random(int(np.prod(shape)), dtype=np.float32) < share)
    normal = torch.distributions.Normal(0, 1)
    tail = torch.from_numpy(rng.random(len(places))) * share / 2
    values = normal.icdf(tail.clamp_min(1e-9)) * torch.from_numpy(rng.choice([-1, 1], len(places)))
    centroids = torch.linspace(float(values.min()), float(values.max()), 2**bits - 1)
    step = float(centroids[1] - centroids[0])
    codes = ((values - centroids[0]) / step).round().clamp(0, len(centroids) - 1)
    parts = torch.from_numpy(places), codes.to(torch.uint8), centroids.float()
    return SharedWeight(shape, *parts, index_bits)


def others(network: str) -> dict[str, torch.Tensor]:
    """Random biases, in float32."""
    generator = torch.Generator().manual_seed(0)
    state = architecture(network).state_dict()
    return {
        name: torch.randn(tensor.shape, generator=generator)
        for name, tensor in state.items()
        if tensor.ndim == 1
    }


def write(network: str, coder: str, path: Path) -> dict[str, Any]:
    weights = Weights(network)
    start = time.perf_counter()
    file.save(path, others(network), {"network": {"name": network}}, weights, coder)
    return {"write": time.perf_counter() - start - weights.seconds}


def read(network: str, coder: str, path: Path) -> dict[str, Any]:
    start = time.perf_counter()
    content = file.contained(path)
    dense = content.dense()
    return {
        "read": time.perf_counter() - start,
        "parameters": sum(map(torch.numel, dense.values())),
    }


def check(network: str, coder: str, path: Path) -> dict[str, Any]:
    """The bytes that entropy asks for, with all that is not coded; weights are those written."""
    content = file.contained(path)
    weights, bits, plain = Weights(network), 0.0, 0
    for entry in content.head.weights:
        found, wanted = content.weights[entry.name], weights[entry.name]
        for part in ("positions", "codes", "centroids"):
            assert torch.equal(getattr(found, part), getattr(wanted, part)), entry.name
        sizes = size_formula.stored(entry, found)
        bits += sizes.entropy * sizes.weights
        plain += sizes.values
    assert all(torch.equal(content.state[name], t) for name, t in others(network).items())
    plain += sum(tensor.stored for tensor in content.head.tensors)
    return {"entropy": bits / 8, "plain": plain}


def alternatives(network: str, coder: str, path: Path) -> dict[str, Any]:
    """Bytes and seconds of general compressors, layer by layer."""
    from scipy.sparse import csr_array

    packers: dict[str, Callable[[bytes], bytes]] = {"zlib": lambda text: zlib.compress(text, 6)}
    if coder == "lzma":
        packers = {"lzma": lambda text: lzma.compress(text, preset=6)}
    weights = Weights(network)
    found = {f"{form}, {name}": [0, 0.0] for form in ("dense codes", "CSR") for name in packers}
    for name in weights:
        made = weights[name]
        codes = np.zeros(int(np.prod(made.shape)), dtype=np.uint8)
        codes[made.positions.numpy()] = made.codes.numpy() + 1
        sparse = csr_array(codes.reshape(made.shape[0], -1))
        columns = sparse.indices.astype(np.uint16 if sparse.shape[1] <= 2**16 else np.uint32)
        rows = [sparse.data.tobytes(), columns.tobytes(), sparse.indptr.tobytes()]
        for form, texts in (("dense codes", [codes.tobytes()]), ("CSR", rows)):
            for packer, pack in packers.items():
                start = time.perf_counter()
                size = sum(len(pack(text)) for text in texts) + made.centroids.nbytes
                found[f"{form}, {packer}"][0] += size
                found[f"{form}, {packer}"][1] += time.perf_counter() - start
    return found


def rates(count: int = 10**7) -> None:
    """Million symbols a second of each coder, on 32 symbols, the compiler's start not counted."""
    rng = np.random.default_rng(0)
    symbols = rng.choice(32, count, p=rng.dirichlet(np.full(32, 2.0))).astype(np.uint16)
    for coder in coders.CODERS:
        coders.decode(coders.encode(symbols, 32, coder), count, 32)
        start = time.perf_counter()
        coded = coders.encode(symbols, 32, coder)
        middle = time.perf_counter()
        coders.decode(coded, count, 32)
        spent = middle - start, time.perf_counter() - middle
        encoded, decoded = (count / seconds / 1e6 for seconds in spent)
        print(f"{coder:8} encodes {encoded:5.1f} and decodes {decoded:5.1f} M symbols a second")


STEPS = {step.__name__: step for step in (write, read, check, alternatives)}


def apart(step: str, network: str, coder: str, path: Path) -> dict[str, Any]:
    """What a step gives in a process of its own, and its largest resident memory in GB."""
    command = [sys.executable, __file__, "--step", step, network, coder, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=[*KEPT], choices=[*KEPT])
    parser.add_argument("--coders", nargs="+", default=["huffman", "ans", "fixed"])
    parser.add_argument("--lzma", action="store_true", help="minutes more")
    parser.add_argument("--step", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        step, network, coder, path = chosen.step
        found = STEPS[step](network, coder, Path(path))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({step: found, "GiB": peak}))
        return
    rates()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deep.safetensors"
        for network in chosen.networks:
            for coder in chosen.coders:
                tell(network, coder, path)
            for packer in ["zlib", *["lzma"] * chosen.lzma]:
                found = apart("alternatives", network, packer, path)["alternatives"]
                for name, (size, seconds) in found.items():
                    print(f"{network:8} {name:18} {size:11,} bytes  {seconds:6.1f} s", flush=True)


def tell(network: str, coder: str, path: Path) -> None:
    wrote, was_read, checked = (apart(step, network, coder, path) for step in [*STEPS][:3])
    size, counted = path.stat().st_size, checked["check"]
    bound = counted["entropy"] + counted["plain"]
    dense = 4 * was_read["read"]["parameters"]
    print(
        f"{network:8} {coder:8} {size:11,} bytes, {dense / size:5.1f} x smaller, "
        f"{size / bound - 1:+.2%} of entropy; "
        f"write {wrote['write']['write']:5.1f} s, {wrote['GiB']:.2f} GiB; "
        f"read {was_read['read']['read']:5.1f} s, {was_read['GiB']:.2f} GiB",
        flush=True,
    )


if __name__ == "__main__":
    main()
