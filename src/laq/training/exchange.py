"""Gradients as processes of a training send them to each other: in float, or some in few bits.

Float gradients are summed by an all-reduce. Of a gradient in b bits each process sends its own
codes and one scale to every other (an all-gather), and all add up the same numbers in the same
order. Rounding is stochastic, so that it is unbiased and needs no memory of its errors: QSGD
(Alistarh et al., NeurIPS 2017) with the largest number as the norm, at 2 bits TernGrad (Wen et
al., NeurIPS 2017).

Each of p processes sends 2 (p − 1) / p times the bytes of float gradients, or p − 1 times the bytes
of codes. So codes of b bits save bytes while p · b < 64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.futures import Future
from torch.nn import functional

from laq.quantizers.bitpacking import packed_size

FLOAT = 32
BITS = (2, 4, 8, FLOAT)

_SCALE = torch.float32.itemsize


class Exchange:
    """This process's side of the exchange. ``mean`` is a hook of torch's DistributedDataParallel.

    coded: parameters whose gradients are sent in ``bits``; with 32 all are float. seed: of the
    training. step: number of steps that it has taken. Draws depend on these, the process and the
    parameter alone, so that a training that goes on draws what an undisturbed one does.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        bits: int,
        coded: Sequence[nn.Parameter],
        seed: int,
        step: int = 0,
    ) -> None:
        self.rank, self.size, self.bits, self.seed, self.step = rank, size, bits, seed, step
        indexed = enumerate(coded if bits < FLOAT else ())
        self._places = {id(parameter): index for index, parameter in indexed}

    def mean(self, bucket: distributed.GradBucket) -> Future[Tensor]:
        """The mean over processes of a bucket of gradients, in place; called with each bucket."""
        flat = bucket.buffer()
        pairs = list(zip(bucket.parameters(), bucket.gradients(), strict=True))
        coded = [(self._places[id(p)], x) for p, x in pairs if id(p) in self._places]
        uncoded = [x for p, x in pairs if id(p) not in self._places]
        step = self.step
        self.step += bucket.is_last()
        if not coded:
            flat.div_(self.size)
            return _reduced(flat)
        sums = torch.cat([x.reshape(-1) for x in uncoded]).div_(self.size) if uncoded else None
        encodings = [encoded(x, self.bits, self._generator(step, index, x)) for index, x in coded]
        payload = torch.cat(
            [torch.stack([scale for scale, _ in encodings]).view(torch.uint8)]
            + [codes for _, codes in encodings]
        )
        futures = [_gathered(payload, self.size)]
        if sums is not None:
            futures.append(_reduced(sums))

        def finish(done: Future[list[Future[Tensor]]]) -> Tensor:
            received = [future.value() for future in done.value()]
            self._decode(received[0], [x for _, x in coded])
            if sums is not None:
                means = received[1].split([x.numel() for x in uncoded])
                for x, mean in zip(uncoded, means, strict=True):
                    x.copy_(mean.view(x.shape))
            return flat

        return torch.futures.collect_all(futures).then(finish)

    def _decode(self, received: Tensor, gradients: list[Tensor]) -> None:
        """Write the means of what all processes sent into ``gradients``."""
        messages = received.view(self.size, -1)
        scale_bytes = _SCALE * len(gradients)
        # A copy, since numbers of four bytes need an aligned address.
        scales = (
            messages[:, :scale_bytes].reshape(-1).clone().view(torch.float32).view(self.size, -1)
        )
        sizes = [packed_size(x.numel(), self.bits) for x in gradients]
        codes = messages[:, scale_bytes:].split(sizes, 1)
        for index, gradient in enumerate(gradients):
            mean = torch.zeros(gradient.numel(), device=gradient.device)
            for rank in range(self.size):
                values = unpack(codes[index][rank], gradient.numel(), self.bits)
                mean += values * scales[rank, index]
            gradient.copy_(mean.div_(self.size).view(gradient.shape))

    def _generator(self, step: int, place: int, like: Tensor) -> torch.Generator:
        sequence = np.random.SeedSequence([self.seed, step, self.rank, place])
        seed = int(sequence.generate_state(1, np.uint64)[0] >> 1)
        return torch.Generator(like.device).manual_seed(seed)


def encoded(x: Tensor, bits: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Scale () and packed codes of ``x``, float32 of any shape.

    The scale times the codes is ``x`` in the mean over the generator's draws. Codes are −K … K
    with K = 2^(bits−1) − 1. The scale is not finite where ``x`` is not.
    """
    limit = 2 ** (bits - 1) - 1
    flat = x.detach().reshape(-1).float()
    scale = flat.abs().max() / limit
    draws = torch.rand(flat.shape, generator=generator, device=flat.device)
    codes = (flat / torch.where(scale > 0, scale, 1.0)).add_(draws).floor_().clamp_(-limit, limit)
    return scale, pack(codes.nan_to_num_(0.0).to(torch.int8), bits)


def pack(codes: Tensor, width: int) -> Tensor:
    """``laq.quantizers.bitpacking.pack`` on the device of ``codes``, int8 (n,), for widths 2, 4 and
    8.
    """
    per_byte = 8 // width
    octets = functional.pad(codes, (0, -len(codes) % per_byte)).view(torch.uint8).view(-1, per_byte)
    octets = (octets & (2**width - 1)) << _shifts(width, codes.device)
    return octets.sum(1, dtype=torch.uint8)


def unpack(packed: Tensor, count: int, width: int) -> Tensor:
    """The codes that ``pack`` stored, int8 (count,)."""
    codes = (packed[:, None] >> _shifts(width, packed.device)) & (2**width - 1)
    sign = 2 ** (width - 1)
    return ((codes.reshape(-1)[:count].short() ^ sign) - sign).to(torch.int8)


def _shifts(width: int, device: torch.device) -> Tensor:
    return torch.arange(0, 8, width, dtype=torch.uint8, device=device)


def _reduced(x: Tensor) -> Future[Tensor]:
    """The sum over processes, in place."""
    return distributed.all_reduce(x, async_op=True).get_future().then(lambda _: x)


def _gathered(x: Tensor, size: int) -> Future[Tensor]:
    """The ``x`` of all processes, in the order of ranks."""
    output = x.new_empty(size * len(x))
    work: Any = distributed.all_gather_into_tensor(output, x, async_op=True)
    return work.get_future().then(lambda _: output)
