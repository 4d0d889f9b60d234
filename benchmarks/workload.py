"""What the benchmarks of the quantizer work on, and the watches they read."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from laq.quantizers.uniform import Alphabet

SIDE = 32


def images(count: int, seed: int = 1) -> Tensor:
    """Smooth random images (count, 3, 32, 32), float32 in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    return nn.functional.interpolate(coarse, SIDE, mode="bilinear")


def resnet50() -> nn.Module:
    """torchvision's ResNet-50 with 100 outputs, random weights and BatchNorms that saw images."""
    from torchvision.models import resnet50 as build

    torch.manual_seed(0)
    network = build(num_classes=100)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # plain averages over the batches
    with torch.no_grad():
        for seed in range(2, 6):
            network(images(64, seed))
    return network.eval()


def paper_alphabets(bits: int) -> Callable[[str, Tensor], list[tuple[int, Alphabet]]]:
    return lambda name, weight: [(len(weight), Alphabet.from_weights(weight, bits, "paper"))]


def rectified(samples: int, columns: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Correlated inputs of a layer behind a ReLU in a float and a quantized network, (m, d)."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(samples, 1, generator=generator)
    inputs = torch.randn(samples, columns, generator=generator) + shared
    moved = inputs + 0.05 * torch.randn(samples, columns, generator=generator)
    return inputs.relu(), moved.relu()


def seconds(
    work: Callable[[], Any], repeats: int, device: torch.device | str = "cpu"
) -> list[float]:
    """Wall time of each of ``repeats`` runs, after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return times[1:]


def spread(times: list[float]) -> str:
    low, middle = min(times), statistics.median(times)
    return f"min {low:.3f} s, median {middle:.3f} s of {len(times)}"


def synchronize(device: torch.device | str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def gemm_rate(device: torch.device | str = "cpu") -> float:
    """Multiply-adds a second of a float32 matrix product of 2048 × 2048."""
    left, right = torch.rand(2, 2048, 2048, device=device)
    return 2048**3 / min(seconds(lambda: left @ right, 5, device))


@dataclasses.dataclass
class Watch:
    """Time by part of the work; a part that calls another does not count the other's time."""

    device: torch.device | str = "cpu"
    parts: dict[str, float] = dataclasses.field(default_factory=lambda: defaultdict(float))
    _running: list[str] = dataclasses.field(default_factory=list)
    _since: float = 0.0

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._turn()
        self._running.append(name)
        try:
            yield
        finally:
            self._turn()
            self._running.pop()

    def function(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return timed

    def iterator(self, name: str, values: Iterable[Any]) -> Iterator[Any]:
        """``values``, the making of each counted for ``name``."""
        values = iter(values)
        while True:
            with self.part(name):
                value = next(values, self)
            if value is self:
                return
            yield value

    def _turn(self) -> None:
        synchronize(self.device)
        now = time.perf_counter()
        if self._running:
            self.parts[self._running[-1]] += now - self._since
        self._since = now
