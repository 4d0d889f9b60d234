"""The loops in plain torch against the compiled ones, and quantizing where Numba is absent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from laq.ptq import gpfq, kernels_cpu, kernels_torch
from laq.ptq.layer import Samples
from laq.quantizers.rounding import Rounding
from laq.quantizers.uniform import Alphabet
from laq.utils import compiling
from tests.unit.test_kernels_triton import walked

SOURCES = Path(__file__).parents[2] / "src"


def test_a_block_has_the_codes_of_the_compiled_loop() -> None:
    ours = walked(lambda *arguments: kernels_torch.block(*arguments, threads=1))
    compiled = walked(lambda *arguments: kernels_cpu.block(*arguments, threads=1))
    assert ours.keys() == compiled.keys()
    for name in ours:
        if "float64" in name or ("border" in name and name.endswith("codes")):
            torch.testing.assert_close(ours[name], compiled[name], rtol=1e-10, atol=1e-12)
        elif name.endswith("codes"):
            assert (ours[name] != compiled[name]).float().mean() <= 0.001


@pytest.mark.parametrize("form", ["direct", "gram"])
@pytest.mark.parametrize("drift", [False, True])
@pytest.mark.parametrize("kind", ["nearest", "stochastic", "soft"])
def test_a_layer_has_the_codes_of_the_compiled_loop(
    monkeypatch: pytest.MonkeyPatch, kind: str, drift: bool, form: str
) -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn((40, 23), generator=rng, dtype=torch.float64)
    x[:, 7] = 0
    quantized = x + 0.1 * torch.randn(x.shape, generator=rng).double() if drift else x
    weight = torch.randn((9, 23), generator=rng, dtype=torch.float64)
    alphabet = Alphabet.from_weights(weight, 3, "packed", per_channel=True)
    samples = Samples(40, 23, lambda: iter([(x, quantized)]))

    def codes() -> torch.Tensor:
        noise = torch.Generator().manual_seed(1) if kind == "stochastic" else None
        rounding = Rounding(kind, 0.5 if kind == "soft" else 0.0, noise)
        return gpfq.solve(weight, samples, alphabet, rounding=rounding, ridge=0, form=form).codes

    compiled = codes()
    monkeypatch.setattr(compiling, "HAS_NUMBA", False)
    assert torch.equal(codes(), compiled)


def test_networks_are_quantized_and_loaded_with_torch_and_numpy_alone(tmp_path: Path) -> None:
    program = f"""
import sys
for name in ("numba", "pandas", "scipy", "tqdm", "torchvision", "matplotlib"):
    sys.modules[name] = None
sys.path.insert(0, {str(SOURCES)!r})
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "numba" else found(name, *more)
import torch, laq
torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(),
                              torch.nn.Linear(8 * 36, 4)).eval()
images = torch.rand(16, 3, 8, 8)
for arguments in ({{}}, {{"method": "gptq"}}, {{"method": "rtn", "scheme": "kmeans"}}):
    quantized = laq.quantize(network, images, bits=3, **arguments)
    quantized.save("own.safetensors")
    assert torch.equal(laq.load("own.safetensors", network)(images), quantized.network(images))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
