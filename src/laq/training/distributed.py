"""Several processes that train one network as one process would.

Each takes its part of every batch, and torch's DistributedDataParallel sums the gradients. Layers
that depend on the whole batch see all parts: BatchNorm takes its statistics from all processes, and
every process draws the random numbers of dropout and stochastic depth for the whole batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from laq.training.exchange import Exchange

# Layers that multiply by random numbers, with the batch as the first dimension. The last two are
# torchvision's and timm's, and are found by name so that neither library is imported.
_NOISE = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_NOISE_NAMES = ("StochasticDepth", "DropPath")


@dataclass
class Team:
    """The processes of a training: this one's ``rank`` and their number. By default it is alone.

    device: where this process computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    _count: int = 0  # images in the batch under way

    def part(self, count: int) -> slice:
        """This process's share of ``count``: consecutive, as equal as possible, maybe empty."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def total(self, sums: Tensor) -> Tensor:
        """``sums`` over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(sums)
        return sums

    def agree(self, number: int) -> bool:
        """Whether all processes have the same number."""
        if self.size == 1:
            return True
        extremes = torch.tensor([number, -number], device=self.device)
        distributed.all_reduce(extremes, distributed.ReduceOp.MAX)
        return int(extremes.sum()) == 0

    def prepare(self, network: nn.Module, exchange: Exchange | None = None) -> nn.Module:
        """``network`` as the loop calls it; its parameters and buffers keep their names.

        exchange: of the gradients; without one torch exchanges them in float.
        """
        if self.size == 1:
            return network
        for module in network.modules():
            if isinstance(module, _NOISE) or type(module).__name__ in _NOISE_NAMES:
                module.forward = partial(self._noise, module, module.forward)
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            _synchronize_on_cuda(network)
        parallel = nn.parallel.DistributedDataParallel
        # Buffers are the same everywhere, and need not be sent. torch 2.15 renames the argument.
        parameters = inspect.signature(parallel).parameters
        keyword = (
            "forward_sync_buffers" if "forward_sync_buffers" in parameters else "broadcast_buffers"
        )
        # Every parameter is used in every step, so torch need not find unused ones.
        wrapped = parallel(
            network,
            device_ids=[self.device.index] if on_gpu else None,
            gradient_as_bucket_view=True,
            **{keyword: False},
        )
        if exchange is not None:
            # torch checks a hook's annotations, which are strings here. A lambda has none.
            wrapped.register_comm_hook(exchange, lambda state, bucket: state.mean(bucket))
        return wrapped

    @contextmanager
    def batch(self, count: int) -> Iterator[None]:
        """A context for forward passes of this process's part of ``count`` images."""
        self._count = count
        with ExitStack() as stack:
            if self.size > 1 and self.device.type == "cpu":
                stack.enter_context(_GlobalBatchNorm())
            yield

    def _noise(self, module: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """``module``'s output as it would be in the whole batch."""
        share = self.part(self._count)
        if not module.training or len(x) != share.stop - share.start:
            return forward(x)
        layout = torch.contiguous_format
        if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
            layout = torch.channels_last  # random numbers come in the order of the memory
        ones = torch.ones((self._count, *x.shape[1:]), dtype=x.dtype, device=x.device).contiguous(
            memory_format=layout
        )
        return x * forward(ones)[share]


class _Sum(torch.autograd.Function):
    """Sum over processes, with the gradient of the sum of all their losses."""

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        x = x.clone()
        distributed.all_reduce(x)
        return x

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        distributed.all_reduce(gradient)
        return gradient


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """``torch.nn.functional.batch_norm`` in training over the parts of all processes.

    A part counts by its number of values and may be empty.
    """
    values = x.to(torch.promote_types(x.dtype, torch.float32))
    dims = [0, *range(2, x.ndim)]
    shape = [1, -1] + [1] * (x.ndim - 2)
    count = values.new_tensor([x.numel() // x.shape[1]])
    sums = _Sum.apply(torch.cat([values.sum(dims), count]))
    mean, count = sums[:-1] / sums[-1], sums[-1].detach()
    centred = values - mean.view(shape)
    var = _Sum.apply(centred.square().sum(dims)) / count
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
            unbiased = var * (count / (count - 1))
            running_var.mul_(1 - momentum).add_(unbiased, alpha=momentum)
    y = centred * (var + eps).rsqrt().view(shape)
    if weight is not None:
        y = y * weight.view(shape)
    if bias is not None:
        y = y + bias.view(shape)
    return y.to(x.dtype)


class _GlobalBatchNorm(TorchFunctionMode):
    """Has BatchNorm on the CPU take its statistics from all processes."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is functional.batch_norm:
            names = ("running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
            arguments = {**dict(zip(names, args[1:], strict=False)), **kwargs}
            if arguments.get("training"):
                return batch_norm(args[0], **arguments)
        return function(*args, **kwargs)


def _synchronize_on_cuda(network: nn.Module) -> None:
    """Make every BatchNorm of ``network``, in place, one that takes statistics from all GPUs."""
    kinds = {type(module) for module in network.modules() if isinstance(module, nn.BatchNorm2d)}
    if kinds - {nn.BatchNorm2d}:  # timm's subclasses, which do more
        from timm.layers import convert_sync_batchnorm as convert
    else:
        convert = nn.SyncBatchNorm.convert_sync_batchnorm
    convert(network)
