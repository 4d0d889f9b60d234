"""One linear layer, 4608 inputs and 512 neurons, against Brevitas' GPFQ on the CPU.

Brevitas is no dependency of this project. To have it for this alone, in a folder of its own:

    pip install --no-deps --target benchmarks/results/brevitas \\
        brevitas==0.13.4 dependencies==2.0.1 unfoldNd==0.2.3
    PYTHONPATH=benchmarks/results/brevitas python benchmarks/gpfq.py --brevitas

The time of Brevitas is that of its update alone, ours is that of the whole call.
"""

from __future__ import annotations

import importlib.util
import sys
import time

import torch
import workload
from torch import Tensor, nn

from laq.ptq import gpfq
from laq.ptq.layer import relative_error
from laq.quantizers.uniform import Alphabet

NEURONS, COLUMNS, SAMPLES, BITS = 512, 4608, 64, 4


def compare(neurons: int = NEURONS, columns: int = COLUMNS, repeats: int = 5) -> None:
    """Print both times, their ratio and both errors."""
    if importlib.util.find_spec("brevitas") is None:
        sys.exit(f"Brevitas is not installed here.\n\n{__doc__}")
    import brevitas

    inputs, _ = workload.rectified(SAMPLES, columns)
    weight = nn.Linear(columns, neurons, bias=False).weight.detach()
    alphabet = Alphabet.from_weights(weight, BITS, "packed", scale=1.0)
    # Two tensors, so that nothing is saved by knowing that both networks' inputs are one.
    pair = inputs, inputs.clone()
    times = workload.seconds(lambda: gpfq.quantize_layer(weight, *pair, alphabet), repeats)
    error = gpfq.quantize_layer(weight, *pair, alphabet).error
    print(f"{neurons} x {columns} on {SAMPLES} samples, {BITS} bits")
    print(f"ours: {workload.spread(times)}, relative error {error:.4f}", flush=True)
    seconds, values = _brevitas(weight, inputs)
    difference, reference = inputs @ (weight - values).T, inputs @ weight.T
    error = relative_error(float(difference.norm()), float(reference.norm()))
    print(f"Brevitas {brevitas.__version__}: {seconds:.1f} s, relative error {error:.4f}")
    print(f"one layer: {seconds / sorted(times)[len(times) // 2]:.0f} x")


def _brevitas(weight: Tensor, inputs: Tensor) -> tuple[float, Tensor]:
    """Seconds of its update, and the weights that it leaves."""
    from brevitas.graph.gpfq import gpfq_mode
    from brevitas.nn import QuantLinear

    neurons, columns = weight.shape
    layer = QuantLinear(columns, neurons, bias=False, weight_bit_width=BITS)
    layer.weight.data = weight.clone()
    network = nn.Sequential(layer).eval()
    with torch.no_grad(), gpfq_mode(network, create_weight_orig=True) as mode:
        mode.model(inputs)
        start = time.perf_counter()
        mode.update()
        seconds = time.perf_counter() - start
    return seconds, layer.quant_weight().value.detach()


if __name__ == "__main__":
    compare(*map(int, sys.argv[1:]))
