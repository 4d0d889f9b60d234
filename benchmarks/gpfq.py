r"""The quantizer against the recursion as published, on a whole ResNet-50, in one run.

    python benchmarks/gpfq.py                  64 images of 32 × 32, 25 % of patches, 4 bits
    python benchmarks/gpfq.py --device cuda    both on that GPU, and codes against the CPU's
    python benchmarks/gpfq.py --profile        of that, only where our time goes, and a floor
    python benchmarks/gpfq.py --images 5000    memory and time of 500 and of 5,000 images
    python benchmarks/gpfq.py --table          cost model: measured beside predicted times
    python benchmarks/gpfq.py --errors         layers where one method's error is below another's
    python benchmarks/gpfq.py --errors results/models/small_resnet/original.safetensors \
        results/dataset/train.npz results/dataset/classes.json    the same for that network

The published recursion runs once, ours several times after a warm-up; the ratio is of the median.
On a busy machine set OMP_WAIT_POLICY=PASSIVE: threads that spin while they wait for each other slow
the many small steps of the published recursion several times.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any
from unittest import mock

import cost_table
import image_memory
import layer_errors
import published
import torch
import workload
from torch import Tensor, nn

from laq.ptq import gpfq, sequential
from laq.ptq import kernels_cpu as recursion
from laq.ptq.layer import QuantizedLayer, Samples, Solver
from laq.ptq.patches import Sampling
from laq.quantizers.uniform import Alphabet
from laq.utils import devices

BITS, IMAGES, FRACTION, SEED = 4, 64, 0.25, 1


def ours(
    network: nn.Module, images: Tensor, solver: Solver = gpfq.solve
) -> sequential.QuantizedNetwork:
    return sequential.quantize_network(
        network,
        images,
        solver=solver,
        alphabets=workload.paper_alphabets(BITS),
        sampling=Sampling("published", FRACTION),
        generator=torch.Generator().manual_seed(SEED),
    )


def compare(device: torch.device, repeats: int) -> None:
    """Print the ratio of times and how far codes agree."""
    network, images = workload.resnet50().to(device), workload.images(IMAGES).to(device)
    times = workload.seconds(lambda: ours(network, images), repeats, device)
    result = ours(network, images)
    codes = _codes(result)
    followed = {name: result.network.get_submodule(name).weight for name in codes}
    print(f"ours on {device}: {workload.spread(times)}", flush=True)
    generator = torch.Generator().manual_seed(SEED)
    watch = workload.Watch(device)
    with watch.part("once"):
        expected = published.quantize_network(network, images, BITS, FRACTION, generator, followed)
    once, median = watch.parts["once"], statistics.median(times)
    recursion = once - expected.collecting
    print(
        f"as published on {device}: {once:.1f} s, once, {expected.collecting:.1f} s of it "
        "collecting garbage, which its code does three times a layer"
    )
    print(f"resnet50 whole network: {once / median:.1f} x")
    print(f"resnet50 whole network, no garbage collected: {recursion / median:.1f} x")
    print(f"codes that differ from the published recursion's: {_differing(codes, expected.codes)}")
    if device.type == "cuda":
        print(f"codes that differ from the CPU's: {_differing(*_both_devices(network, images))}")


def _both_devices(network: nn.Module, images: Tensor) -> tuple[dict[str, Tensor], ...]:
    """Codes of every layer on a GPU, and those of the CPU on the same inputs."""
    on_cpu: list[Tensor] = []

    def solve(weight: Tensor, samples: Samples, alphabet: Alphabet) -> QuantizedLayer:
        inputs, moved = (matrix.cpu() for matrix in samples.gather())
        there = Samples.of(inputs, moved, samples.groups)
        step = replace(alphabet, step=alphabet.step.cpu())
        on_cpu.append(gpfq.solve(weight.cpu(), there, step).codes)
        return gpfq.solve(weight, samples, alphabet)

    codes = _codes(ours(network, images, solve))
    return codes, dict(zip(codes, on_cpu, strict=True))


def _codes(result: sequential.QuantizedNetwork) -> dict[str, Tensor]:
    return {
        name.removesuffix(".weight"): torch.cat([run.codes.flatten(1) for run in runs])
        for name, runs in result.packed.items()
    }


def _differing(codes: dict[str, Tensor], expected: dict[str, Tensor]) -> str:
    """Share of codes that differ, in the whole network and in the worst layer."""
    if codes.keys() != expected.keys():
        raise AssertionError(f"these layers are in one alone: {codes.keys() ^ expected.keys()}")
    counts = {name: int((codes[name].cpu() != expected[name].cpu()).sum()) for name in codes}
    shares = {name: count / codes[name].numel() for name, count in counts.items()}
    worst = max(shares, key=shares.get)
    share = sum(counts.values()) / sum(each.numel() for each in codes.values())
    return f"{share:.3%} (at most {shares[worst]:.3%}, in {worst})"


def profile(device: torch.device, repeats: int) -> None:
    """Print the parts of our time, beside the least that the arithmetic takes on this machine."""
    network, images = workload.resnet50().to(device), workload.images(IMAGES).to(device)
    result = ours(network, images)
    runs = [_timed(network, images, workload.Watch(device)) for _ in range(repeats)]
    parts = min(runs, key=lambda parts: sum(parts.values()))
    total = sum(parts.values())
    for name, seconds in sorted(parts.items(), key=lambda part: -part[1]):
        print(f"{name:12} {seconds:7.3f} s {seconds / total:6.1%}")
    print(f"{'all':12} {total:7.3f} s, the fastest of {repeats} runs")

    with torch.no_grad():
        forwards = 2 * min(workload.seconds(lambda: network(images), repeats, device))
    # Taking <X̃, u> and moving u by D w and X̃ e are 3 multiply-adds a sample and weight; X w, which
    # the relative error is relative to, is one more.
    work = sum(4 * layer.samples * layer.weights for layer in result.layers if layer.samples)
    rate = workload.gemm_rate(device)
    print(f"floor: two forward passes {forwards:.3f} s")
    print(f"floor: {2e-9 * work:.1f} GFLOP at {2e-9 * rate:.0f} GFLOP/s {work / rate:.3f} s")
    print(f"time / floor: {total / (forwards + work / rate):.2f}")


def _timed(network: nn.Module, images: Tensor, watch: workload.Watch) -> dict[str, float]:
    """Seconds by part of one run, measured by wrapping functions from outside."""
    layer_samples, walk = sequential.layer_samples, sequential.fx_runner.walk

    def samples(*arguments: Any) -> Samples:
        made = layer_samples(*arguments)
        return replace(made, chunks=lambda: watch.iterator("patches", made.chunks()))

    def walked(*arguments: Any) -> Iterator[Any]:
        return watch.iterator("forwards", walk(*arguments))

    functions = [("report", sequential.report, "quantized"), ("recursion", recursion, "path")]
    functions += [("recursion", _loops(watch.device), "block")]
    with contextlib.ExitStack() as changed:
        changed.enter_context(mock.patch.object(sequential, "layer_samples", samples))
        changed.enter_context(mock.patch.object(sequential.fx_runner, "walk", walked))
        for part, module, name in functions:
            timed = watch.function(part, getattr(module, name))
            changed.enter_context(mock.patch.object(module, name, timed))
        with watch.part("rest"):
            ours(network, images, watch.function("products", gpfq.solve))
    return watch.parts


def _loops(device: torch.device | str) -> ModuleType:
    if torch.device(device).type == "cuda":
        from laq.ptq import kernels_triton

        return kernels_triton
    return recursion


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=2, help="of the CPU")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--images", type=int)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--errors", nargs="*", metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = devices.pick(options.device)

    if options.profile:
        profile(device, options.repeats)
    elif options.images:
        image_memory.compare(options.images, options.device, options.threads)
    elif options.table:
        cost_table.show(options.repeats)
    elif options.errors is not None:
        layer_errors.compare(*options.errors)
    else:
        compare(device, options.repeats)
        profile(device, options.repeats)


if __name__ == "__main__":
    main()
