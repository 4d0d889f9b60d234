"""Training of layers that are two thin factors: what ``laq.deep_compression.low_rank`` cut learns
to do without.

So that low rank is compared with pruning and sharing as they are, with trainings behind them.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from laq.deep_compression import weight_clustering
from laq.training.constraints import Constraint
from laq.utils.errors import DataError

# Low-rank compression by the singular value decomposition: each layer as two thin factors.
#
# The other road that pruning and sharing are compared with (Han et al. 2016, Fig. 6). A layer's
# weight is a matrix W (N, d), a row a filter; of its decomposition W = U S Vᵀ the first r singular
# values are kept, and with the factors L = U√S (N, r) and R = √S Vᵀ (r, d), stored in float32, the
# layer takes r (N + d) values in place of N d. No matrix of rank r is nearer to W (Eckart and Young
# 1936). For linear layers that is Xue et al. (2013); of a convolution L R is a convolution with r
# filters and a 1 × 1 convolution behind it (Denton et al. 2014).
#
# How many values a layer keeps is told by one number for all layers, the share of energy: the least
# r with s₁² + … + sᵣ² at least that share of all squared singular values. A layer whose factors
# would take no fewer values than W stays as it is.


VALUE = 4  # bytes of a float32


@dataclass(frozen=True, eq=False)
class Decomposition:
    """A weight's singular vectors and values, float64, of which any rank is cut without a new one.

    shape: the weight's; left (N, k), values (k,) falling, right (k, d), k the smaller of N and d.
    """

    shape: tuple[int, ...]
    left: Tensor
    values: Tensor
    right: Tensor

    @classmethod
    def of(cls, weight: Tensor) -> Decomposition:
        """Of a weight (N, …), whose further axes are one. Raises ``DataError`` if not finite."""
        if not weight.isfinite().all():
            raise DataError("a weight is not finite, and has no singular values: train it anew")
        return cls(
            tuple(weight.shape),
            *torch.linalg.svd(weight.detach().double().flatten(1), full_matrices=False),
        )

    def rank(self, share: float) -> int:
        """The least rank that keeps ``share`` (0 to 1) of the energy; 0 of a weight of zeros.

        Singular values beyond the precision of float32 are none: a share of 1 keeps the others.
        """
        noise = self.values[:1] * torch.finfo(torch.float32).eps
        energy = torch.where(self.values > noise, self.values, 0).square().cumsum(0)
        if not energy.numel() or energy[-1] == 0:
            return 0
        return int((energy < share * energy[-1]).sum()) + 1 if share > 0 else 0

    def factors(self, rank: int) -> Factors:
        """The first ``rank`` singular values in two float32 factors, the root of each in either."""
        root = self.values[:rank].sqrt()
        left, right = self.left[:, :rank] * root, root[:, None] * self.right[:rank]
        return Factors(self.shape, left.float(), right.float())


@dataclass(frozen=True, eq=False)
class Factors:
    """A weight as left (N, r) times right (r, d), both float32. shape: the weight's."""

    shape: tuple[int, ...]
    left: Tensor
    right: Tensor

    @property
    def rank(self) -> int:
        return self.left.shape[1]

    @property
    def bytes(self) -> int:
        """What the factors take: r (N + d) values."""
        return VALUE * (self.left.numel() + self.right.numel())

    def dense(self) -> Tensor:
        """The weight that they stand for, float32; sums are taken in float64."""
        return (self.left.double() @ self.right.double()).float().view(self.shape)


@dataclass(frozen=True)
class RankRow:
    """A layer at a share.

    rank: None where the layer stayed as it was; full: the smaller of N and d. bytes: of its weight
    as stored; dense: as it was. error: ‖W − LR‖ / ‖W‖ in the Frobenius norm.
    """

    layer: str
    rank: int | None
    full: int
    bytes: int
    dense: int
    error: float


@dataclass(frozen=True, eq=False)
class Approximation:
    """A network at a share of energy.

    network: a copy with the weights that the factors stand for. factors: of the layers that have
    them, by name. rows: one a layer. bytes: of all parameters, float32 where they are no factors.
    ratio: what they took before, over that.
    """

    share: float
    network: nn.Module
    factors: dict[str, Factors]
    rows: list[RankRow]
    bytes: int
    ratio: float


def curve(
    network: nn.Module, shares: Iterable[float], layers: Collection[str] | None = None
) -> Iterator[Approximation]:
    """``network`` at each share of energy, 0 to 1, in the order given; decomposed once.

    Convolutions and linear layers are approximated, of these ``layers`` alone where they are named;
    biases and all else are kept. Grouped convolutions
    too: their factors store the weight, and compute nothing faster.

    Raises:
        ValueError: a share is not between 0 and 1, a defect of the caller.
        DataError: a weight is not finite.
    """
    known = {name: Decomposition.of(module.weight) for name, module in _layers(network, layers)}
    for share in shares:
        if not 0 <= share <= 1:
            raise ValueError(f"a share of energy lies between 0 and 1, not at {share}")
        yield _at(network, known, share)


@torch.no_grad()
def _at(network: nn.Module, known: dict[str, Decomposition], share: float) -> Approximation:
    made = copy.deepcopy(network)
    factors, rows = {}, []
    for name, own in known.items():
        weight = made.get_submodule(name).weight
        rank, full = own.rank(share), len(own.values)
        dense = VALUE * weight.numel()
        if rank * (len(own.left) + own.right.shape[1]) >= weight.numel():
            rows.append(RankRow(name, None, full, dense, dense, 0.0))
            continue
        factors[name] = own.factors(rank)
        nearest = factors[name].dense()
        norm = float(weight.double().norm())
        error = float((weight.double() - nearest.double()).norm()) / norm if norm else 0.0
        weight.copy_(nearest)
        rows.append(RankRow(name, rank, full, factors[name].bytes, dense, error))
    before = VALUE * sum(parameter.numel() for parameter in made.parameters())
    saved = sum(row.dense - row.bytes for row in rows)
    return Approximation(share, made, factors, rows, before - saved, before / (before - saved))


def _layers(
    network: nn.Module, layers: Collection[str] | None
) -> list[tuple[str, nn.Conv2d | nn.Linear]]:
    found = network.named_modules()
    return [
        (name, module)
        for name, module in found
        if isinstance(module, nn.Conv2d | nn.Linear) and (layers is None or name in layers)
    ]


class Product(nn.Module):
    """Makes a layer's weight: ``left`` (N, r) times ``right`` (r, d), in its shape.

    The parameter that the weight was has no part in it.
    """

    def __init__(self, shape: Iterable[int], rank: int) -> None:
        super().__init__()
        self.shape = torch.Size(shape)
        self.left = nn.Parameter(torch.zeros(self.shape[0], rank))
        self.right = nn.Parameter(torch.zeros(rank, self.shape[1:].numel()))

    def forward(self, _: Tensor) -> Tensor:
        return (self.left @ self.right).view(self.shape)

    def extra_repr(self) -> str:
        return f"shape={tuple(self.shape)}, rank={self.left.shape[1]}"


@dataclass(frozen=True)
class Factored(Constraint):
    """Layers whose weights are products of two factors: name to rank."""

    ranks: Mapping[str, int]

    def prepare(self, network: nn.Module) -> None:
        for name, rank in self.ranks.items():
            shape = network.get_submodule(name).weight.shape
            weight_clustering.replace(network, name, Product(shape, rank))


def of(factors: Mapping[str, Factors]) -> Factored:
    """The constraint under which a training keeps to these ranks, by layer."""
    return Factored({name: own.rank for name, own in factors.items()})


@torch.no_grad()
def load(network: nn.Module, factors: Mapping[str, Factors]) -> None:
    """Give the layers, which a ``Factored`` prepared, these factors."""
    for name, own in factors.items():
        held = _held(network, name)
        held.left.copy_(own.left)
        held.right.copy_(own.right)


@torch.no_grad()
def detach(network: nn.Module, names: Iterable[str]) -> dict[str, Factors]:
    """Make plain parameters of the weights; returns their factors as they are now."""
    found = {}
    for name in names:
        held = _held(network, name)
        left, right = (each.detach().cpu().clone() for each in (held.left, held.right))
        found[name] = Factors(tuple(held.shape), left, right)
        weight_clustering.detach(network, name, found[name].dense())
    return found


def _held(network: nn.Module, name: str) -> Product:
    return network.get_submodule(name).parametrizations.weight[0]
