"""Quantize a whole network in one pass, both networks side by side.

The traced graph is walked once, with both the float network and the network quantized so far. A
convolution or linear layer is quantized the moment its two inputs arrive, and every activation is
freed after its last use, so nothing is computed twice (the published code restarts both networks
from the image for each layer).
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from tqdm import tqdm

from laq import hooks, methods, report, tracing
from laq.activations import MEMORY, Activations
from laq.alphabets import Alphabet
from laq.calibration import CalibrationImages
from laq.errors import ConfigError, DataError, LaqError
from laq.folding import fold
from laq.layer import QuantizedLayer, Samples, Solver
from laq.packing import PackedWeight
from laq.patches import Sampling, layer_samples
from laq.report import Layer
from laq.tracing import QUANTIZABLE

logger = logging.getLogger(__name__)

# Name and weight (N, d) of a layer to the alphabets of its filters, in consecutive runs that
# cover the N rows: (rows, alphabet) each. The layers of a grouped convolution take one run.
Alphabets = Callable[[str, Tensor], Sequence[tuple[int, Alphabet]]]


@dataclass(frozen=True)
class QuantizedNetwork:
    """The quantized network, its packed weights by parameter name, and a row for each layer.

    A packed weight is one or more consecutive runs of rows.
    """

    network: nn.Module
    packed: dict[str, tuple[PackedWeight, ...]]
    layers: list[Layer]

    @property
    def bits(self) -> float:
        """Nominal bits a quantized weight, in the mean; 32 where none is."""
        runs = [run for weight in self.packed.values() for run in weight]
        weights = sum(run.codes.numel() for run in runs)
        return sum(run.bits * run.codes.numel() for run in runs) / weights if runs else 32.0


def four_bits(name: str, weight: Tensor) -> list[tuple[int, Alphabet]]:
    """The default alphabets: ``packed`` at 4 bits for all rows of every layer."""
    return [(len(weight), Alphabet.from_weights(weight, 4, "packed"))]


@torch.no_grad()  # not inference_mode: its tensors could never be trained again
def quantize_network(
    network: nn.Module,
    images: Tensor,
    *,
    solver: Solver | None = None,
    alphabets: Alphabets = four_bits,
    sampling: Sampling = Sampling(),  # noqa: B008 (frozen)
    generator: torch.Generator | None = None,
    keep: Mapping[str, str] | None = None,
    batch: int | None = None,
    memory: int = MEMORY,
) -> QuantizedNetwork:
    """Quantize every convolution and linear layer of ``network``, which is left as it was.

    Biases and normalisations stay in float. Other weights of two dimensions or more do as
    well (embeddings, transposed convolutions), and the report lists them with the reason.
    A layer called several times is quantized on the inputs of its first call.

    A network that torch.fx cannot trace is rerun from the images for each layer instead, which
    takes longer and gives the same result.

    Args:
        network: run in evaluation mode, where its parameters are. Arguments of its forward after
            the images must have defaults, which are used.
        images: calibration images (n, c, h, w): uint8, or floats as the network takes them.
        solver: maps weight (N, d), samples and alphabet to codes; ``laq.gpfq.solve`` where None.
        alphabets: the alphabets of a layer, from its name and weight (N, d).
        sampling: which patches of a convolution's input become samples.
        generator: draws patches and batches, on the CPU; seeded with 0 where None.
        keep: layers to leave in float, name → reason.
        batch: None: all images serve all layers. A number: every layer gets a fresh batch of so
            many, drawn without replacement, as in the published code.
        memory: bytes of activations held in memory between layers, beside those of one chunk
            of images; the others go to temporary files (TMPDIR).

    Raises:
        DataError: a layer's weights or inputs are not finite, or its weight is no plain
            parameter (the layer is named).
        ConfigError: ``keep`` names no layer.
        LaqError: the network takes more than images; activations cannot be written.
    """
    if batch is not None and batch < 1:
        raise ValueError(f"batch {batch} must be at least 1")
    tracing.check_signature(network)
    solver = solver or methods.solver("gpfq")
    generator = generator or torch.Generator().manual_seed(0)
    pool = CalibrationImages.of(images, network)
    keep = _known(keep or {}, _quantizable(network))

    with _evaluating(network), Activations(memory) as activations:
        graph, met = _graph(network, pool)
        modules = dict(network.named_modules())
        reasons = _reasons(modules, met, keep)
        chosen = [name for name in met if name not in reasons]

        twin = _twin(network, [modules[name].weight for name in chosen])
        packed: dict[str, tuple[PackedWeight, ...]] = {}
        rows: dict[str, Layer] = {}
        networks, diverged = (network, twin), lambda: bool(packed)
        if batch is None and graph is not None:
            walk = tracing.walk(graph, networks, pool, chosen, diverged, activations)
        else:
            draw = (lambda: pool) if batch is None else (lambda: pool.draw(batch, generator))
            walk = hooks.rerun(networks, draw, chosen, diverged, activations)
        for name, inputs in tqdm(walk, desc="layers", total=len(chosen), mininterval=2):
            layer = modules[name]
            samples = layer_samples(layer, inputs.shapes, inputs.chunks, sampling, generator)
            solutions = _solve(name, layer.weight.detach().flatten(1), samples, solver, alphabets)
            values = _joined([solution.weight for solution in solutions])
            twin.get_submodule(name).weight.data = values.reshape(layer.weight.shape)
            runs = tuple(
                solution.alphabet.pack(solution.codes.unflatten(1, layer.weight.shape[1:]))
                for solution in solutions
            )
            packed[f"{name}.weight"] = runs
            rows[name] = report.quantized(name, layer, layer.weight, samples, solutions, runs)
            logger.debug("%s: relative output error %.4f", name, rows[name].error)
        layers = list(_report(modules, met, reasons, rows))
    return QuantizedNetwork(twin, packed, layers)


@torch.no_grad()
def layers_in_order(
    network: nn.Module, images: Tensor, keep: Mapping[str, str]
) -> dict[str, nn.Conv2d | nn.Linear]:
    """The layers that ``quantize_network`` quantizes, by name, in the order of their first calls.

    ``images`` and ``keep``: as there; one image is run.
    """
    met, reasons = layers_met(network, images, keep)
    return {name: network.get_submodule(name) for name in met if name not in reasons}


@torch.no_grad()
def layers_met(
    network: nn.Module, images: Tensor, keep: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """The convolution and linear layers in the order of their first calls, and why some stay in
    float or share the codes of another, by name.

    ``images`` and ``keep``: as of ``quantize_network``; one image is run.
    """
    pool = CalibrationImages.of(images[:1], network)
    with _evaluating(network):
        _, met = _graph(network, pool)
    return met, _reasons(dict(network.named_modules()), met, keep)


def layer_report(
    network: nn.Module,
    met: Sequence[str],
    reasons: Mapping[str, str],
    rows: Mapping[str, Layer],
) -> list[Layer]:
    """A row for every weight of two dimensions or more: of the layers that were met, in their
    order, those of ``rows``, or why they stay in float; then all others."""
    return list(_report(dict(network.named_modules()), met, reasons, rows))


@torch.no_grad()
def folded(network: nn.Module, images: Tensor) -> nn.Module:
    """A copy of ``network`` with the scale of each BatchNorm in the layer before it.

    Raises ``LaqError`` if the network cannot be traced.
    """
    with _evaluating(network):
        try:
            graph = tracing.trace(network)
        except tracing.UntraceableError as error:
            raise LaqError(f"{error}, or BatchNorm must not be folded (fold_batchnorm)") from error
        pool = CalibrationImages.of(images[:1], network)
        copied, names = fold(network, graph, pool.chunk(0))
    if names:
        logger.info("BatchNorm folded into %d layers", len(names))
    else:
        logger.warning(
            "no BatchNorm of %s can be folded: none alone uses the output of a layer",
            type(network).__name__,
        )
    return copied


def _known(keep: Mapping[str, str], quantizable: Sequence[str]) -> Mapping[str, str]:
    if unknown := sorted(set(keep) - set(quantizable)):
        raise ConfigError(
            f"no convolution or linear layer is called {', '.join(unknown)}, so it cannot be kept "
            f"in float (compress.keep); there are: {', '.join(quantizable)}"
        )
    return keep


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _quantizable(network: nn.Module) -> list[str]:
    return [name for name, m in network.named_modules() if isinstance(m, QUANTIZABLE)]


def _graph(network: nn.Module, pool: CalibrationImages) -> tuple[fx.Graph | None, list[str]]:
    """The traced graph, None where it is not what the network runs; its layers in call order."""
    quantizable = _quantizable(network)
    if "" in quantizable:
        raise LaqError(
            f"the network is a single {type(network).__name__} layer: wrap it in nn.Sequential"
        )
    called = hooks.call_order(network, pool.chunk(0)[:1], quantizable)
    try:
        graph = tracing.trace(network)
        if called == tracing.call_order(graph, quantizable):
            return graph, called
        reason = f"{type(network).__name__} runs other layers than torch.fx traces"
    except tracing.UntraceableError as error:
        reason = str(error)
    logger.warning("%s; it is rerun from the images for each layer, which is slower", reason)
    return None, called


def _reasons(
    modules: Mapping[str, nn.Module], met: Sequence[str], keep: Mapping[str, str]
) -> dict[str, str]:
    """Why layers that are met stay in float, or share the codes of another, by name."""
    holders: dict[Tensor, list[str]] = {}
    for name, module in modules.items():
        for weight in module._parameters.values():
            holders.setdefault(weight, []).append(name)
    reasons: dict[str, str] = {}
    for name in met:
        layer = modules[name]
        if name in keep:
            reasons[name] = keep[name]
        elif _has_own_forward(layer):
            reasons[name] = f"{type(layer).__name__} computes with its weight in a way of its own"
        elif "weight" not in layer._parameters:
            raise DataError(
                f"layer {name}: its weight is computed from other parameters (weight norm, "
                "pruning), so codes cannot replace it: make it a plain parameter first "
                "(torch.nn.utils.parametrize.remove_parametrizations, prune.remove), or leave the "
                "layer in float (compress.keep)"
            )
        else:
            others = [other for other in holders[layer.weight] if other != name]
            if floats := [other for other in others if other in keep or other not in met]:
                reasons[name] = f"shares the weight of {floats[0]}, which stays in float"
            elif first := [other for other in met[: met.index(name)] if other in others]:
                reasons[name] = f"shares the codes of {first[0]}"
    return reasons


def _has_own_forward(layer: nn.Module) -> bool:
    """Whether a subclass does anything else with its weight than the layer it descends from."""
    base = next(base for base in QUANTIZABLE if isinstance(layer, base))
    methods = ("forward", "_conv_forward")
    return any(
        getattr(type(layer), method, None) is not getattr(base, method, None) for method in methods
    )


def _twin(network: nn.Module, weights: Sequence[nn.Parameter]) -> nn.Module:
    """A copy of ``network``; its ``weights``, soon replaced, still lie in the original's memory."""
    known = {id(weight): nn.Parameter(weight.data, weight.requires_grad) for weight in weights}
    return copy.deepcopy(network, known)


def _solve(
    name: str, weight: Tensor, samples: Samples, solver: Solver, alphabets: Alphabets
) -> list[QuantizedLayer]:
    """The solutions of a layer's runs of rows."""
    try:
        runs = alphabets(name, weight)
        sizes = [rows for rows, _ in runs]
        if sum(sizes) != len(weight) or min(sizes) < 1 or samples.groups > 1 < len(sizes):
            raise ValueError(
                f"layer {name}: runs of {sizes} rows for a weight of {len(weight)} rows in "
                f"{samples.groups} groups: they must cover it, a grouped layer in one run"
            )
        return [
            solver(rows, samples, alphabet)
            for rows, (_, alphabet) in zip(weight.split(sizes), runs, strict=True)
        ]
    except LaqError as error:
        raise DataError(f"layer {name}: {error}") from error


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _report(
    modules: Mapping[str, nn.Module],
    met: Sequence[str],
    reasons: Mapping[str, str],
    rows: Mapping[str, Layer],
) -> Iterator[Layer]:
    """The layers in the order they were met, then every other weight that stays in float."""
    for name in met:
        if name in rows:
            yield rows[name]
        else:
            yield report.in_float(name, modules[name], modules[name].weight, reasons[name])
    for name, module in modules.items():
        if name in met:
            continue
        kind = type(module).__name__
        if isinstance(module, QUANTIZABLE):
            reason = "never called as a module"
        else:
            reason = f"{kind} is not quantized, only Conv2d and Linear are"
        for full_name, weight in module.named_parameters(name, recurse=False):
            if weight.ndim >= 2:
                yield report.in_float(full_name.removesuffix(".weight"), module, weight, reason)
