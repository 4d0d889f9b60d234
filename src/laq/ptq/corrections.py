"""Corrections of a quantized network beside its codes, from the calibration images.

- Bias correction (Nagel et al., ICCV 2019, arXiv 1906.04721, section 4.2; Finkelstein, Almog &
  Grobman 2019). Rounding shifts the mean of a neuron's outputs. The bias takes up that shift:

      b ← b + E[ X w − X̃ q ]

  with the mean over the samples that the layer is solved on. A layer without a bias gets none. If a
  BatchNorm alone uses its output, its running mean takes up the shift with the opposite sign, to
  the same effect.
- Re-estimated BatchNorm (Sun et al., "Hybrid 8-bit floating point", NeurIPS 2019; Hubara et al.,
  "Accurate post training quantization with small calibration sets", ICML 2021). The running mean
  and variance of every BatchNorm become those of its inputs in the network quantized so far. The
  layers behind it are solved afterwards, on what it then gives.

Both change numbers that the network has in any case, so files need no more fields, and take no more
bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from laq.ptq.layer import Samples
from laq.utils.errors import ConfigError, DataError


@dataclass(frozen=True)
class Corrections:
    """Which corrections are made: of biases, and of BatchNorm's statistics."""

    bias: bool = False
    batchnorm: bool = False


def norms(network: nn.Module) -> list[str]:
    """The BatchNorms of ``network`` that have statistics."""
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, BatchNorm) and module.running_mean is not None
    ]


class Corrector:
    """Makes the corrections in a network while it is quantized layer by layer.

    changed: whether anything was changed by now.
    """

    def __init__(
        self,
        network: nn.Module,
        which: Corrections,
        layers: Sequence[str],
        norms: Sequence[str],
        behind: Mapping[str, str],
    ) -> None:
        """The corrector of ``network``, nothing being changed yet.

        layers: those that are quantized. norms: the BatchNorms that are called. behind: the
        BatchNorm that alone uses a layer's output, by the layer.

        Raises ``ConfigError`` where there is nothing that a correction could change.
        """
        self.network, self.which, self.changed = network, which, False
        self._carriers = _carriers(network, layers, {} if which.batchnorm else behind)
        self._statistics: dict[str, Tensor] = {}  # by the buffer's name
        kind = type(network).__name__
        if which.batchnorm and not norms:
            raise ConfigError(
                f"{kind} has no BatchNorm whose statistics can be estimated anew: set "
                "compress.batchnorm to trained"
            )
        if which.bias and not self._carriers:
            raise ConfigError(
                f"{kind} has no quantized layer with a bias of its own, or with a BatchNorm behind "
                "it that keeps its statistics: set compress.bias_correction to false"
            )

    def correct(self, name: str, weight: Tensor, values: Tensor, samples: Samples) -> None:
        """Let the mean error of the outputs of layer ``name`` go into what carries it, if any.

        weight, values: (N, d), of the float and the quantized layer.
        """
        if not self.which.bias or name not in self._carriers:
            return
        error, carrier = mean_error(weight, values, samples), self._carriers[name]
        if carrier == f"{name}.bias":
            bias = self.network.get_parameter(carrier)
            bias.data = (bias.data.double() + error).to(bias.dtype)
        else:
            self._set(carrier, self.network.get_buffer(carrier).double() - error)

    def estimate(self, name: str, inputs: Iterable[Tensor]) -> None:
        """Let BatchNorm ``name`` have the mean and the variance of its ``inputs`` (n, c, …).

        The variance is the unbiased one, as in training. Raises ``DataError`` for a single value a
        channel.
        """
        mean, variance = statistics(name, inputs)
        self._set(f"{name}.running_mean", mean)
        self._set(f"{name}.running_var", variance)

    def restore(self) -> None:
        """Give BatchNorms their new statistics again, after something else restored the old."""
        for name, value in self._statistics.items():
            self.network.get_buffer(name).copy_(value)

    def _set(self, buffer: str, value: Tensor) -> None:
        self._statistics[buffer] = value
        self.network.get_buffer(buffer).copy_(value)
        self.changed = True


def mean_error(weight: Tensor, values: Tensor, samples: Samples) -> Tensor:
    """E[ X w − X̃ q ] of every neuron, (N,) float64; ``weight`` w and ``values`` q are (N, d)."""
    sums = [
        weight.new_zeros(samples.groups * samples.columns, dtype=torch.float64) for _ in range(2)
    ]
    for pair in samples.chunks():
        for total, matrix in zip(sums, pair, strict=True):
            total += matrix.sum(0, dtype=torch.float64)
    outputs = [
        (matrix.double().unflatten(0, (samples.groups, -1)) @ total.view(samples.groups, -1, 1))
        for matrix, total in zip((weight, values), sums, strict=True)
    ]
    return (outputs[0] - outputs[1]).flatten() / samples.rows


def statistics(name: str, inputs: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance by channel, (c,) float64 each, of ``inputs`` (n, c, …).

    Raises ``DataError`` that names the BatchNorm for a single value a channel.
    """
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for chunk in inputs:
        values = chunk.double().transpose(0, 1).flatten(1)  # (c, n · …)
        size, own = values.shape[1], values.mean(1)
        squared = (values - own[:, None]).square().sum(1)
        # Chan, Golub & LeVeque 1983: sums of squares about the mean, of two parts.
        gap = own - mean.to(own)
        total = count + size
        mean = mean.to(own) + gap * (size / total)
        squares = squares.to(own) + squared + gap.square() * (count * size / total)
        count = total
    if count < 2:
        raise DataError(
            f"BatchNorm {name}: a single value a channel has no variance: calibrate on more images"
        )
    return mean, squares / (count - 1)


def _carriers(
    network: nn.Module, layers: Sequence[str], behind: Mapping[str, str]
) -> dict[str, str]:
    """The bias or running mean that takes up the mean error of each of ``layers``, by name.

    A bias that modules share takes up none.
    """
    modules = list(network.modules())
    owners = Counter(p for module in modules for p in module._parameters.values() if p is not None)
    carriers = {}
    for name in layers:
        bias = network.get_submodule(name)._parameters.get("bias")
        if bias is not None and owners[bias] == 1:
            carriers[name] = f"{name}.bias"
        elif bias is None and name in behind:
            carriers[name] = f"{behind[name]}.running_mean"
    return carriers
