"""The loop on CUDA against the one on the CPU: on a GPU, or interpreted where there is none."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from laq.ptq import gpfq, kernels_cpu
from laq.ptq.layer import Samples
from laq.quantizers.rounding import KINDS, Rounding
from laq.quantizers.uniform import Alphabet
from laq.utils.errors import ConfigError

PROJECT = Path(__file__).resolve().parents[2]
DTYPES = {"float32": torch.float32, "float64": torch.float64}
Case = tuple[str, list[Any]]

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")


def rule(kind: str, dtype: torch.dtype) -> tuple:
    number = torch.empty(0, dtype=dtype).numpy().dtype.type
    threshold, gap = (1.3, 0.3) if kind == "hard" else (0.7, 0.0)
    return KINDS.index(kind), number(threshold), number(gap)


def bounds(base: Tensor, limit: int = 4) -> Tensor:
    """(2, G, n): ±limit, and for the last neurons of several −1 … 6."""
    groups, _, neurons = base.shape
    own = torch.tensor([-limit, limit]).to(base.dtype)[:, None, None].repeat(1, groups, neurons)
    if limit == 4 and neurons > 3:
        own[0, :, -3:], own[1, :, -3:] = -1, 6
    return own


def cases() -> Iterator[Case]:
    """Names and arguments of ``recursion.block``, the same at every call."""
    combinations = itertools.product(DTYPES, KINDS)
    for name, kind in combinations:
        arguments = sums(2, 19, 21, DTYPES[name], kind)
        yield f"{name} {kind}", [*arguments, rule(kind, DTYPES[name]), bounds(arguments[0])]
    for name, dtype in DTYPES.items():
        for shape in ((1, 100, 3), (7, 9, 1), (1, 1, 5)):
            arguments = sums(*shape, dtype)
            yield f"{name} {shape}", [*arguments, rule("nearest", dtype), bounds(arguments[0])]
        for kind, many in itertools.product(KINDS, (4, 2**31 - 200)):
            arguments = borders(dtype, kind)
            ends = bounds(arguments[0], many)
            yield f"{name} {kind} border {many}", [*arguments, rule(kind, dtype), ends]


def sums(groups: int, columns: int, neurons: int, dtype: torch.dtype, kind: str = "nearest"):
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    base = 3 * normal(groups, columns, neurons)
    weight = base + normal(groups, columns, neurons) / 8
    mix = normal(groups, columns, columns) / 4
    mix.masked_fill_(torch.ones(columns, columns).triu().bool(), torch.nan)  # must not be read
    alive = torch.rand(groups, columns, generator=generator) > 0.1
    noise = torch.rand(columns, groups * neurons, generator=generator, dtype=torch.float64)
    noise = noise.to(dtype) if kind == "stochastic" else None
    return base.to(dtype), weight.to(dtype), mix.to(dtype), alive, noise


def borders(dtype: torch.dtype, kind: str):
    """Halves, their neighbours and integers beyond the mantissa, which nothing is added to."""
    some = torch.arange(-9, 10, dtype=dtype) / 2
    infinite = torch.tensor(torch.inf, dtype=dtype)
    some = torch.cat([some, some.nextafter(infinite), some.nextafter(-infinite)])
    large = torch.tensor([2.0**22 - 0.5, 2**23 - 0.5, 2**24 + 2, 2**30, 2.0**40], dtype=dtype)
    base = torch.cat([some, some + 1.3, some + 0.7, large, -large, some * 0])[None, None]
    noise = torch.full((1, base.numel()), 0.5, dtype=dtype) if kind == "stochastic" else None
    mix, alive = torch.zeros(1, 1, 1, dtype=dtype), torch.ones(1, 1, dtype=torch.bool)
    return base, base.clone(), mix, alive, noise


def walked(loop: Callable[..., None], device: str = "cpu") -> dict[str, Tensor]:
    """Codes and errors that ``loop`` gives for every case; columns around the block stay −9."""
    results = {}
    for name, [base, *tensors, numbers, ends] in cases():
        base = base.to(device)
        tensors = [None if tensor is None else tensor.to(device) for tensor in tensors]
        groups, columns, neurons = base.shape
        wide = ends.max() > 2**24
        codes = torch.full(
            (groups, neurons, columns + 3), -9, dtype=torch.int64 if wide else torch.int8
        )
        codes = codes.to(device)
        loop(base, *tensors, numbers, ends.to(device), codes, 2)
        results |= {f"{name} codes": codes.cpu(), f"{name} errors": base.cpu()}
    return results


@pytest.fixture(scope="module")
def on_cuda(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """The kernel's results, from Triton's interpreter in a process of its own without a GPU."""
    if torch.cuda.is_available():
        from laq.ptq import kernels_triton

        return walked(kernels_triton.block, "cuda")
    path = tmp_path_factory.mktemp("interpreted") / "results.safetensors"
    folders = os.pathsep.join([str(PROJECT), str(PROJECT / "src")])
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": folders}
    command = [sys.executable, "-m", "tests.unit.test_kernels_triton", str(path)]
    subprocess.run(command, cwd=PROJECT, env=environment, check=True)
    return load_file(path)


@pytest.fixture(scope="module")
def on_cpu() -> dict[str, Tensor]:
    return walked(lambda *arguments: kernels_cpu.block(*arguments, threads=1))


@needs_triton
def test_codes_are_the_cpu_s(on_cuda: dict[str, Tensor], on_cpu: dict[str, Tensor]) -> None:
    differing = total = 0
    for name in (name for name in on_cpu if name.endswith("codes")):
        differs = (on_cuda[name] != on_cpu[name]).sum().item()
        if "float64" in name or "border" in name:
            assert differs == 0, name
        differing, total = differing + differs, total + on_cpu[name].numel()
    assert differing <= 0.001 * total


@needs_triton
def test_errors_are_the_cpu_s(on_cuda: dict[str, Tensor], on_cpu: dict[str, Tensor]) -> None:
    for name in (name for name in on_cpu if name.endswith("errors") and "float64" in name):
        torch.testing.assert_close(on_cuda[name], on_cpu[name], rtol=1e-10, atol=1e-12)


def test_the_cases_reach_the_last_level_and_zero(on_cpu: dict[str, Tensor]) -> None:
    for name in (f"float64 {kind} codes" for kind in KINDS):
        inner = on_cpu[name][..., 2:-1]
        assert inner.min() == -4 and inner.max() == 6 and (inner == 0).any(), name


@needs_triton
@pytest.mark.parametrize("columns", [64, 128])
@pytest.mark.parametrize(("number", "integer"), [("fp32", "i8"), ("fp64", "i64")])
@pytest.mark.parametrize("kind", KINDS)
def test_kernel_compiles_for_a_gpu(kind: str, number: str, integer: str, columns: int) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from laq.ptq import kernels_triton

    constants = {"kind": kind, "threshold": 0.7, "gap": 0.1234567890123}
    constants |= {"rows": columns, "tile": 16}
    if kind != "stochastic":
        constants["noise"] = None
    matrices = dict.fromkeys(("base", "weight", "mix", "noise", "bounds"), f"*{number}")
    integers = dict.fromkeys(("first", "columns", "neurons", "width"), "i32")
    signature = matrices | integers | {"alive": "*i1", "codes": f"*{integer}"}
    signature |= dict.fromkeys(constants, "constexpr")
    source = ASTSource(kernels_triton._block, signature, constants)
    target = GPUTarget("cuda", 80, 32)
    kernel = triton.compile(
        source, target=target, options={"num_warps": 1, "enable_fp_fusion": True}
    )
    if number == "fp64":  # the gap has not been through float32
        assert f"{np.float64(0.1234567890123).view(np.uint64):x}" in kernel.asm["ptx"].lower()


def test_missing_triton_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "laq.ptq.kernels_triton", raising=False)
    with pytest.raises(ConfigError, match="pip install triton"):
        importlib.import_module("laq.ptq.kernels_triton")


def rectified(samples: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    inputs = (torch.randn(samples, width, generator=generator, dtype=torch.float64) + 0.3).relu()
    moved = (inputs + 0.1 * torch.randn(samples, width, generator=generator)).relu()
    moved[:, width // 2] = 0
    return inputs.to(dtype), moved.to(dtype)


@needs_cuda
@pytest.mark.parametrize("form", ["blocks", "gram", None])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_layer_on_a_gpu_is_the_cpu_s(
    dtype: torch.dtype, kind: str, groups: int, form: str | None
) -> None:
    weight = 0.05 * torch.randn(96, 150, generator=torch.Generator().manual_seed(4), dtype=dtype)
    inputs, moved = rectified(200, 150 * groups, dtype)
    solved = {}
    for device in ("cpu", "cuda"):
        generator = torch.Generator().manual_seed(5) if kind == "stochastic" else None
        threshold = 0.7 if kind == "soft" else 0.0
        alphabet = Alphabet.from_weights(weight.to(device), 4)
        solved[device] = gpfq.solve(
            weight.to(device),
            Samples.of(inputs.to(device), moved.to(device), groups),
            alphabet.with_gap(0.7) if kind == "hard" else alphabet,
            rounding=Rounding(kind, threshold, generator),
            form=form,
        )
    share = (solved["cuda"].codes.cpu() != solved["cpu"].codes).double().mean()
    assert share <= (0 if dtype == torch.float64 else 0.001)
    assert solved["cuda"].error == pytest.approx(solved["cpu"].error, rel=1e-3)
    assert solved["cuda"].silent == solved["cpu"].silent == groups


@needs_cuda
def test_network_on_a_gpu_is_the_cpu_s() -> None:
    from laq.models.networks import create
    from laq.ptq.sequential import quantize_network

    torch.manual_seed(6)
    network: nn.Module = create("small_resnet", classes=10).double()
    images = torch.rand(32, 3, 16, 16, dtype=torch.float64)
    packed = {}
    for device in ("cpu", "cuda"):
        generator = torch.Generator().manual_seed(7)
        quantized = quantize_network(network.to(device), images.to(device), generator=generator)
        packed[device] = {name: each.codes.cpu() for name, each in quantized.packed.items()}
    for name, codes in packed["cpu"].items():
        assert (codes != packed["cuda"][name]).double().mean() <= 0.001, name


if __name__ == "__main__":
    from laq.ptq import kernels_triton

    save_file(walked(kernels_triton.block), sys.argv[1])
