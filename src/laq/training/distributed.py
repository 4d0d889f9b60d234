"""Several processes that train one network, by torch's DistributedDataParallel and SyncBatchNorm.

Each takes its part of every batch, and gradients are averaged. SyncBatchNorm works on CUDA alone:
on the CPU each process normalises its part by the statistics of that part. Dropout and stochastic
depth draw in each process for itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from laq.training.exchange import Exchange


@dataclass
class Team:
    """The processes of a training: this one's ``rank`` and their number. By default it is alone.

    device: where this process computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def part(self, count: int) -> slice:
        """This process's share of ``count``: consecutive, as equal as possible."""
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
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            _synchronize_on_cuda(network)
        # Every parameter is used in every step, so torch need not find unused ones. No buffer need
        # be sent in a step: those that differ are BatchNorm's, which ``average`` makes alike.
        wrapped = nn.parallel.DistributedDataParallel(
            network,
            device_ids=[self.device.index] if on_gpu else None,
            gradient_as_bucket_view=True,
            forward_sync_buffers=False,
        )
        if exchange is not None:
            # torch checks a hook's annotations, which are strings here. A lambda has none.
            wrapped.register_comm_hook(exchange, lambda state, bucket: state.mean(bucket))
        return wrapped

    def average(self, network: nn.Module) -> None:
        """Give every process the mean over processes of BatchNorm's running statistics."""
        for module in network.modules():
            if self.size > 1 and isinstance(module, _BatchNorm) and module.training:
                for statistic in (module.running_mean, module.running_var):
                    if statistic is not None:
                        self.total(statistic).div_(self.size)


def _synchronize_on_cuda(network: nn.Module) -> None:
    """Make every BatchNorm of ``network``, in place, one that takes statistics from all GPUs."""
    kinds = {type(module) for module in network.modules() if isinstance(module, nn.BatchNorm2d)}
    if kinds - {nn.BatchNorm2d}:  # timm's subclasses, which do more
        from timm.layers import convert_sync_batchnorm as convert
    else:
        convert = nn.SyncBatchNorm.convert_sync_batchnorm
    convert(network)
