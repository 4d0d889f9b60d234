"""Low-rank compression: each layer as two thin factors, and training of these factors.

The factors are trained so that low rank is compared fairly with pruning and sharing, which are
trained too.
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
# The method that pruning and sharing are compared with (Han et al. 2016, Fig. 6). A layer's weight
# is a matrix W (N, d), a row a filter. Of its decomposition W = U S Vᵀ the first r singular values
# are kept. With the factors L = U√S (N, r) and R = √S Vᵀ (r, d), stored in float32, the layer takes
# r (N + d) values in place of N d. No matrix of rank r is nearer to W (Eckart and Young 1936). For
# linear layers that is Xue et al. (2013). For a convolution L R is a convolution with r filters and
# a 1 × 1 convolution behind it (Denton et al. 2014).
#
# One number sets the ranks of all layers, the share of energy. A layer's rank is the least r with
# s₁² + … + sᵣ² at least that share of all its squared singular values. A layer whose factors would
# take no fewer values than W stays as it is.


VALUE = 4  # bytes of a float32


@dataclass(frozen=True, eq=False)
class Decomposition:
    """A weight's singular vectors and values, float64, from which factors of any rank are cut.

    shape: the weight's. left: (N, k). values: (k,), falling. right: (k, d). k is the smaller of N
    and d.
    """

    shape: tuple[int, ...]
    left: Tensor
    values: Tensor
    right: Tensor

    @classmethod
    def of(cls, weight: Tensor) -> Decomposition:
        """Of a weight (N, …), flattened to (N, d). Raises ``DataError`` if it is not finite."""
        if not weight.isfinite().all():
            raise DataError("a weight is not finite, and has no singular values: train it anew")
        return cls(
            tuple(weight.shape),
            *torch.linalg.svd(weight.detach().double().flatten(1), full_matrices=False),
        )

    def rank(self, share: float) -> int:
        """The least rank that keeps ``share`` (0 to 1) of the energy; 0 of a weight of zeros.

        Singular values below the precision of float32 count as 0: a share of 1 keeps the others.
        """
        noise = self.values[:1] * torch.finfo(torch.float32).eps
        energy = torch.where(self.values > noise, self.values, 0).square().cumsum(0)
        if not energy.numel() or energy[-1] == 0:
            return 0
        return int((energy < share * energy[-1]).sum()) + 1 if share > 0 else 0

    def factors(self, rank: int) -> Factors:
        """Two float32 factors of the first ``rank`` singular values, the root of each in both."""
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

    rank: None where the layer stayed as it was. full: the smaller of N and d. bytes: of its weight
    as stored. dense: bytes of its float32 weight. error: ‖W − LR‖ / ‖W‖ in the Frobenius norm.
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
    them, by name. rows: one a layer. bytes: of all parameters, with factors where there are any and
    float32 elsewhere. ratio: bytes of the float32 network, divided by these.
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

    Convolutions and linear layers are approximated; with ``layers``, only those named there. Biases
    and all else are kept. Grouped convolutions are approximated too: their factors store the
    weight, and compute nothing faster.

    Raises:
        ValueError: a share is not between 0 and 1, a defect of the caller.
        DataError: a weight is not finite.
    """
    decompositions = {
        name: Decomposition.of(module.weight) for name, module in _layers(network, layers)
    }
    for share in shares:
        if not 0 <= share <= 1:
            raise ValueError(f"a share of energy lies between 0 and 1, not at {share}")
        yield _at(network, decompositions, share)


@torch.no_grad()
def _at(network: nn.Module, known: dict[str, Decomposition], share: float) -> Approximation:
    compressed = copy.deepcopy(network)
    factors, rows = {}, []
    for name, decomposition in known.items():
        weight = compressed.get_submodule(name).weight
        rank, full = decomposition.rank(share), len(decomposition.values)
        dense = VALUE * weight.numel()
        if rank * (len(decomposition.left) + decomposition.right.shape[1]) >= weight.numel():
            rows.append(RankRow(name, None, full, dense, dense, 0.0))
            continue
        factors[name] = decomposition.factors(rank)
        approximation = factors[name].dense()
        norm = float(weight.double().norm())
        error = float((weight.double() - approximation.double()).norm()) / norm if norm else 0.0
        weight.copy_(approximation)
        rows.append(RankRow(name, rank, full, factors[name].bytes, dense, error))
    float_bytes = VALUE * sum(parameter.numel() for parameter in compressed.parameters())
    saved = sum(row.dense - row.bytes for row in rows)
    return Approximation(
        share, compressed, factors, rows, float_bytes - saved, float_bytes / (float_bytes - saved)
    )


def _layers(
    network: nn.Module, layers: Collection[str] | None
) -> list[tuple[str, nn.Conv2d | nn.Linear]]:
    modules = network.named_modules()
    return [
        (name, module)
        for name, module in modules
        if isinstance(module, nn.Conv2d | nn.Linear) and (layers is None or name in layers)
    ]


class Product(nn.Module):
    """Makes a layer's weight: ``left`` (N, r) times ``right`` (r, d), in its shape.

    The parameter that the weight was before is not used.
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
    """The constraint under which a training keeps these ranks, by layer."""
    return Factored({name: pair.rank for name, pair in factors.items()})


@torch.no_grad()
def load(network: nn.Module, factors: Mapping[str, Factors]) -> None:
    """Give the layers, which a ``Factored`` prepared, these factors."""
    for name, pair in factors.items():
        module = _held(network, name)
        module.left.copy_(pair.left)
        module.right.copy_(pair.right)


@torch.no_grad()
def detach(network: nn.Module, names: Iterable[str]) -> dict[str, Factors]:
    """Make plain parameters of the weights; returns their factors as they are now."""
    factors = {}
    for name in names:
        module = _held(network, name)
        left, right = (factor.detach().cpu().clone() for factor in (module.left, module.right))
        factors[name] = Factors(tuple(module.shape), left, right)
        weight_clustering.detach(network, name, factors[name].dense())
    return factors


def _held(network: nn.Module, name: str) -> Product:
    return network.get_submodule(name).parametrizations.weight[0]
