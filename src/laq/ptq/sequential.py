"""Quantize a whole network in one pass, both networks side by side.

The traced graph is walked once, with both the float network and the network quantized so far. A
convolution or linear layer is quantized as soon as its two inputs arrive, and every activation is
freed after its last use. So nothing is computed twice (the published code restarts both networks
from the image for each layer).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from laq.ptq import bias_steps, corrections, fidelity, fx_runner, hook_runner, layer_selection
from laq.ptq import layer_report as report
from laq.ptq.activation_cache import MEMORY, Activations, LayerInputs
from laq.ptq.activation_quantizer import NAME, InputQuantizer, InputSettings, attach, calibrate
from laq.ptq.calibration import CalibrationImages
from laq.ptq.corrections import Corrections, Corrector
from laq.ptq.folding import fold, pairs_of
from laq.ptq.fx_runner import QUANTIZABLE
from laq.ptq.hook_runner import FloatInputs
from laq.ptq.layer import Pair, QuantizedLayer, Samples, Solver
from laq.ptq.layer_report import LayerRow
from laq.ptq.module_state import copied, unchanged
from laq.ptq.patches import Sampling, layer_samples
from laq.quantizers.grids import Grid
from laq.quantizers.packed_weight import PackedWeight
from laq.quantizers.uniform import Alphabet
from laq.utils.errors import DataError, LaqError
from laq.utils.progress import tqdm
from laq.utils.runs import Run

logger = logging.getLogger(__name__)

# Name and weight (N, d) of a layer to the grids of its filters, in consecutive runs that
# cover the N rows: (rows, grid) each. The layers of a grouped convolution take one run.
Grids = Callable[[str, Tensor], Sequence[tuple[int, Grid]]]


@dataclass(frozen=True)
class QuantizedNetwork:
    """The quantized network, its packed weights by parameter name, and a row for each layer.

    A packed weight is one or more consecutive runs of rows. transforms: entries of
    ``laq.checkpoints.graph_edits`` for what was added to the original network.
    """

    network: nn.Module
    packed: dict[str, tuple[PackedWeight, ...]]
    layers: list[LayerRow]
    transforms: list[dict[str, Any]] = field(default_factory=list)

    @property
    def bits(self) -> float:
        """Mean nominal bits of quantized weights; 32 where there are none."""
        runs = [run for weight in self.packed.values() for run in weight]
        weights = sum(run.codes.numel() for run in runs)
        return sum(run.grid.bits * run.codes.numel() for run in runs) / weights if runs else 32.0


def four_bits(name: str, weight: Tensor) -> list[tuple[int, Grid]]:
    """The default alphabets: ``packed`` at 4 bits, with a step for each row of every layer."""
    return [(len(weight), Alphabet.from_weights(weight, 4, "packed", per_channel=True))]


@torch.no_grad()  # not inference_mode: its tensors could never be trained again
def quantize_network(
    network: nn.Module,
    images: Tensor,
    *,
    solver: Solver | None = None,
    alphabets: Grids = four_bits,
    sampling: Sampling = Sampling(),  # noqa: B008 (frozen)
    generator: torch.Generator | None = None,
    skip_layers: Mapping[str, str] | None = None,
    batch: int | None = None,
    memory: int = MEMORY,
    inputs: InputSettings | None = None,
    corrected: Corrections = Corrections(),  # noqa: B008 (frozen)
    float_inputs: FloatInputs | None = None,
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
        solver: maps weight (N, d), samples and alphabet to codes; ``laq.ptq.gpfq.solve`` where
            None.
        alphabets: the alphabets of a layer, from its name and weight (N, d).
        sampling: which patches of a convolution's input become samples.
        generator: draws patches and batches, on the CPU; seeded with 0 where None.
        skip_layers: layers to leave in float, name → reason.
        batch: None: all images serve all layers. A number: every layer gets a fresh batch of so
            many, drawn without replacement, as in the published code.
        memory: bytes of activations held in memory between layers, beside those of one chunk
            of images; the others go to temporary files (TMPDIR).
        inputs: how the layers' inputs are quantized; they stay in float where None. A range is
            chosen when the inputs arrive, and the layer is solved for the quantized inputs. Inputs
            of the float network stay as they are. Where quantizers are modules of the network,
            these are calibrated.
        corrected: what is corrected beside codes, in biases and in BatchNorm. The report's errors
            are those before.
        float_inputs: those of ``network`` from its other quantizations; used with ``batch``.

    Raises:
        DataError: a layer's weights or inputs are not finite, or its weight is no plain
            parameter (the layer is named).
        ConfigError: ``skip_layers`` names no layer, or there is nothing to be corrected.
        LaqError: the network takes more than images; activations cannot be written.
    """
    if batch is not None and batch < 1:
        raise ValueError(f"batch {batch} must be at least 1")
    fidelity.check_eager(network)
    fx_runner.check_signature(network)
    if solver is None:
        from laq.ptq import gpfq  # its compiled loops load Numba

        solver = gpfq.solve
    generator = generator or torch.Generator().manual_seed(0)
    pool, skip_layers = CalibrationImages.of(images, network), skip_layers or {}
    layer_selection.check_kept(network, skip_layers)

    with ExitStack() as cleanup:
        cleanup.enter_context(layer_selection.evaluating(network))
        activations = cleanup.enter_context(Activations(memory))
        graph, run = layer_selection.graph_of(network, pool)
        modules = dict(network.named_modules())
        met = [name for name in run.inputs if isinstance(modules[name], QUANTIZABLE)]
        reasons = layer_selection.reasons_of(modules, met, skip_layers)
        stops = [name for name in run.inputs if name not in reasons]

        twin = cleanup.enter_context(
            _twin(network, [n for n in met if n not in reasons], run, pool)
        )
        quantization = _Inputs(twin, inputs, graph, run.calls)
        stops, calls, graph = _with_norms(network, pool, stops, corrected, graph)
        corrector = _corrector(network, twin, corrected, stops, graph, pool)
        packed: dict[str, tuple[PackedWeight, ...]] = {}
        rows: dict[str, LayerRow] = {}
        networks = network, twin

        def diverged() -> bool:
            return bool(packed) or quantization.calibrated or corrector.changed

        if batch is None and graph is not None:
            walk = fx_runner.walk(graph, networks, pool, stops, diverged, activations)
        else:
            draw = (lambda: pool) if batch is None else (lambda: pool.draw(batch, generator))
            walk = hook_runner.rerun(networks, draw, stops, diverged, activations, float_inputs)
        for name, layer_inputs in tqdm(walk, desc="layers", total=len(stops), mininterval=2):
            layer = modules[name]
            if isinstance(layer, InputQuantizer):
                quantization.calibrate(name, layer_inputs)
                continue
            if isinstance(layer, corrections.BatchNorm):
                corrector.estimate(
                    name, hook_runner.every_input(twin, name, layer_inputs, calls[name])
                )
                continue
            chunks, quantizer = quantization.quantized(name, layer_inputs)
            samples = layer_samples(layer, layer_inputs.shapes, chunks, sampling, generator)
            grids = quantization.fitted(layer, quantizer, alphabets)
            solutions = _solve(name, layer.weight.detach().flatten(1), samples, solver, grids)
            values = _joined([solution.weight for solution in solutions])
            corrector.correct(name, layer.weight.detach().flatten(1), values, samples)
            weight = torch.empty_like(layer.weight)  # in its layout
            twin.get_submodule(name).weight.data = weight.copy_(values.reshape(weight.shape))
            runs = tuple(
                PackedWeight(solution.codes.unflatten(1, layer.weight.shape[1:]), solution.grid)
                for solution in solutions
            )
            packed[f"{name}.weight"] = runs
            row = report.quantized(name, layer, layer.weight, samples, solutions, runs)
            rows[name] = row.with_input(quantizer)
            logger.debug("%s: relative output error %.4f", name, row.error)
        layers = list(_report(modules, met, reasons, rows))
    corrector.restore()
    return QuantizedNetwork(twin, packed, layers, quantization.transforms)


@torch.no_grad()
def layers_in_order(
    network: nn.Module, images: Tensor, skip_layers: Mapping[str, str]
) -> dict[str, nn.Conv2d | nn.Linear]:
    """The layers that ``quantize_network`` quantizes, by name, in the order of their first calls.

    ``images`` and ``skip_layers``: as there; one image is run.
    """
    met, reasons = layer_selection.met_with_reasons(network, images, skip_layers)
    return {name: network.get_submodule(name) for name in met if name not in reasons}


def layer_report(
    network: nn.Module,
    met: Sequence[str],
    reasons: Mapping[str, str],
    rows: Mapping[str, LayerRow],
) -> list[LayerRow]:
    """A row for every weight of two dimensions or more.

    First come the layers ``met``, in their order: their row in ``rows``, or one with the reason why
    they stay in float. Then come all other weights.
    """
    return list(_report(dict(network.named_modules()), met, reasons, rows))


@torch.no_grad()
def folded(network: nn.Module, images: Tensor) -> tuple[nn.Module, list[dict[str, Any]]]:
    """A copy of ``network`` with each BatchNorm folded into the layer before it.

    Also the entries of ``laq.checkpoints.graph_edits`` that build it, none where there is nothing
    to fold.

    Raises ``LaqError`` if the network cannot be traced.
    """
    with layer_selection.evaluating(network):
        pool = CalibrationImages.of(images[:2], network)
        try:
            graph = layer_selection.traced(network, pool)
        except fx_runner.UntraceableError as error:
            raise LaqError(f"{error}, or BatchNorm must not be folded (fold_batchnorm)") from error
        result, pairs = fold(network, graph, pool.chunk(0)[:1])
    if not pairs:
        logger.warning(
            "no BatchNorm of %s can be folded: none alone uses the output of a layer",
            type(network).__name__,
        )
        return result, []
    logger.info("BatchNorm folded into %d layers", len(pairs))
    return result, [{"kind": "folded_batchnorm", "pairs": [list(pair) for pair in pairs]}]


class _Inputs:
    """Quantizers of the twin's inputs, each calibrated when the walk comes to it.

    They are modules of the network where it has quantizers, and are attached to its layers
    otherwise.
    """

    def __init__(
        self,
        twin: nn.Module,
        settings: InputSettings | None,
        graph: fx.Graph | None,
        calls: Mapping[str, int],
    ) -> None:
        modules = dict(twin.named_modules())
        names = [name for name, module in modules.items() if isinstance(module, InputQuantizer)]
        self.twin, self.settings, self.calibrated = twin, settings or InputSettings(), False
        self.attaching, self.calls = settings is not None and not names, calls
        self.before = fx_runner.quantizers_before(graph, modules) if names and graph else {}
        self.specs: dict[str, dict[str, Any]] = {}

    @property
    def transforms(self) -> list[dict[str, Any]]:
        """Entries of ``laq.checkpoints.graph_edits`` for what was attached."""
        return [{"kind": "input_quantizers", "layers": self.specs}] if self.specs else []

    def calibrate(self, name: str, arrived: LayerInputs) -> None:
        """Calibrate the network's own quantizer ``name`` on what arrives at it."""
        quantizer = self.twin.get_submodule(name)
        calibrate(quantizer, lambda: self._inputs(name, arrived), self.settings)
        self.calibrated = True

    def quantized(
        self, name: str, arrived: LayerInputs
    ) -> tuple[Callable[[], Iterator[Pair]], InputQuantizer | None]:
        """The inputs of the layer ``name`` in both networks, and the quantizer of its input."""
        if not self.attaching:
            source = self.before.get(name)
            return arrived.chunks, self.twin.get_submodule(source) if source else None
        self.specs[name] = {"bits": self.settings.bits, "mode": self.settings.mode}
        attach(self.twin, {name: self.specs[name]})
        quantizer = self.twin.get_submodule(f"{name}.{NAME}")
        quantizer.enabled = False  # until it is calibrated
        calibrate(quantizer, lambda: self._inputs(name, arrived), self.settings)
        return lambda: ((x, quantizer(xq)) for x, xq in arrived.chunks()), quantizer

    def _inputs(self, name: str, arrived: LayerInputs) -> Iterator[Tensor]:
        """The inputs of ``name`` in the present twin, at all calls."""
        return hook_runner.every_input(self.twin, name, arrived, self.calls[name])

    def fitted(
        self, layer: nn.Conv2d | nn.Linear, quantizer: InputQuantizer | None, alphabets: Grids
    ) -> Grids:
        """``alphabets``; for static inputs of up to 8 bits with steps that fit the accumulator."""
        if quantizer is None or quantizer.mode != "static" or quantizer.bits > 8:
            return alphabets
        # Where quantizers are modules of the network, they are behind its layers too.
        return lambda name, weight: bias_steps.fitted(
            alphabets(name, weight), layer, quantizer.step, on_grid=not self.attaching
        )


def _with_norms(
    network: nn.Module,
    pool: CalibrationImages,
    layers: Sequence[str],
    corrected: Corrections,
    graph: fx.Graph | None,
) -> tuple[list[str], Mapping[str, int], fx.Graph | None]:
    """``layers`` with the BatchNorms to be estimated anew, in order; and calls of each.

    Also ``graph``, or None where it does not call each of them as a module.
    """
    norms = corrections.norms(network) if corrected.batchnorm else []
    if not norms:
        return list(layers), {}, graph
    with unchanged(network):
        run = hook_runner.run(network, layer_selection.sample(pool), {*layers, *norms})
    stops = list(run.inputs)
    if graph is not None and fx_runner.call_order(graph, stops) != stops:
        logger.warning(
            "torch.fx traces into the BatchNorms of %s; it is rerun from the images for each of "
            "them, which is slower",
            type(network).__name__,
        )
        graph = None
    return stops, run.calls, graph


def _corrector(
    network: nn.Module,
    twin: nn.Module,
    corrected: Corrections,
    stops: Sequence[str],
    graph: fx.Graph | None,
    pool: CalibrationImages,
) -> Corrector:
    modules = dict(network.named_modules())
    layers = [name for name in stops if isinstance(modules[name], QUANTIZABLE)]
    norms = [name for name in stops if isinstance(modules[name], corrections.BatchNorm)]
    behind = {}
    if corrected.bias and graph is not None:
        behind = dict(pairs_of(network, graph, pool.chunk(0)[:1]))
    return Corrector(twin, corrected, layers, norms, behind)


@contextmanager
def _twin(
    network: nn.Module, layers: Sequence[str], run: Run, pool: CalibrationImages
) -> Iterator[nn.Module]:
    """A copy of ``network``, in which later runs change nothing but what is quantized.

    The weights of ``layers`` share the original's memory until they are replaced.

    Raises ``LaqError`` where replacing them would not change what the copy computes.
    """
    weights = [network.get_submodule(name).weight for name in layers]
    memo = {id(weight): nn.Parameter(weight.data, weight.requires_grad) for weight in weights}
    twin = copied(network, memo)
    with unchanged(twin):
        for name in layers:
            fidelity.check_layer(name, twin.get_submodule(name), run.inputs[name])
        fidelity.check_copy(network, twin, layer_selection.sample(pool), layers)
        yield twin


def _solve(
    name: str, weight: Tensor, samples: Samples, solver: Solver, alphabets: Grids
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
    rows: Mapping[str, LayerRow],
) -> Iterator[LayerRow]:
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
