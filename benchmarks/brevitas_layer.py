"""One linear layer against Brevitas' GPFQ, GPTQ and Qronos on the CPU.

Brevitas is no dependency of this project. To have it for this alone, in a folder of its own:

    pip install --no-deps --target benchmarks/results/brevitas \\
        brevitas==0.13.4 dependencies==2.0.1 unfoldNd==0.2.3
    PYTHONPATH=benchmarks/results/brevitas python benchmarks/brevitas_layer.py gpfq 64
    PYTHONPATH=benchmarks/results/brevitas python benchmarks/brevitas_layer.py qronos 1088

The layer has 512 neurons and 4608 inputs; the second argument is the number of samples. Inputs of
the quantized network differ from those of the float network. The time of Brevitas is that of its
update alone, ours is that of the whole call. Errors are of each one's own levels.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from functools import partial

import torch
import workload
from torch import Tensor, nn

from laq.ptq import gpfq, gptq, qronos
from laq.ptq.layer import Samples, relative_error
from laq.quantizers.uniform import Alphabet

NEURONS, COLUMNS, BITS = 512, 4608, 4
OURS = {
    "gpfq": gpfq.solve,
    "gptq": partial(gptq.solve, damping=0.01),
    "qronos": partial(qronos.solve, damping=0.01),
}


def compare(method: str = "gpfq", samples: int = 64, repeats: int = 5) -> None:
    """Print both times, their ratio and both errors."""
    if importlib.util.find_spec("brevitas") is None:
        sys.exit(f"Brevitas is not installed here.\n\n{__doc__}")
    import brevitas

    inputs, _ = workload.rectified(samples, COLUMNS)
    noise = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(1))
    quantized_inputs = (inputs + 0.05 * noise).relu()
    weight = nn.Linear(COLUMNS, NEURONS, bias=False).weight.detach()
    alphabet = Alphabet.from_weights(weight, BITS, "packed", scale=1.0)
    given = Samples.of(inputs, quantized_inputs)
    times = workload.seconds(lambda: OURS[method](weight, given, alphabet), repeats)
    error = OURS[method](weight, given, alphabet).error
    print(f"{method}, {NEURONS} x {COLUMNS} on {samples} samples, {BITS} bits")
    print(f"ours: {workload.spread(times)}, relative error {error:.4f}", flush=True)
    seconds, values = _brevitas(method, weight, inputs, quantized_inputs)
    reference = inputs @ weight.T
    difference = reference - quantized_inputs @ values.T
    error = relative_error(float(difference.norm()), float(reference.norm()))
    print(f"Brevitas {brevitas.__version__}: {seconds:.1f} s, relative error {error:.4f}")
    print(f"one layer: {seconds / sorted(times)[len(times) // 2]:.1f} x")


def _brevitas(
    method: str, weight: Tensor, inputs: Tensor, quantized_inputs: Tensor
) -> tuple[float, Tensor]:
    """Seconds of its update, and the weights that it leaves."""
    from brevitas.graph import gpfq as theirs
    from brevitas.graph.gptq import gptq_mode
    from brevitas.graph.qronos import Qronos
    from brevitas.nn import QuantLinear

    # A scale that stays as it was; the default one follows the weights while these change.
    layer = QuantLinear(
        COLUMNS,
        NEURONS,
        bias=False,
        weight_bit_width=BITS,
        weight_scaling_impl_type="parameter_from_stats",
    )
    layer.weight.data = weight.clone()
    layer.quant_weight()  # takes the scale from the weights
    network = nn.Sequential(layer).eval()
    modes = {
        "gpfq": lambda: theirs.gpfq_mode(network, create_weight_orig=True),
        "gptq": lambda: gptq_mode(network, create_weight_orig=True),
        "qronos": lambda: theirs.gpfq_mode(network, create_weight_orig=True, algorithm_impl=Qronos),
    }
    with torch.no_grad(), modes[method]() as mode:
        mode.model(quantized_inputs)
        for optimizer in mode.gpxq_layers.values() if method != "gptq" else ():
            # The product of both networks' inputs, as it would be had they differed.
            optimizer.G = (inputs.T @ quantized_inputs)[None] / len(inputs)
        start = time.perf_counter()
        mode.update()
        seconds = time.perf_counter() - start
    return seconds, layer.quant_weight().value.detach()


if __name__ == "__main__":
    compare(sys.argv[1], int(sys.argv[2]))
