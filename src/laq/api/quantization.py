"""Quantize any network that takes images, in one call."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from laq.api.images import Source, calibration_images
from laq.checkpoints import packing
from laq.config import methods, recipes
from laq.experiments import compression
from laq.ptq.activation_quantizer import InputSettings
from laq.ptq.layer_report import LayerRow
from laq.ptq.sequential import QuantizedNetwork
from laq.utils import devices
from laq.utils.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

# Options of methods and schemes beside the arguments of ``quantize``, and their defaults.
OPTIONS = {
    "ridge": 1.0,
    "damping": 0.01,
    "sweeps": 0,
    "cycles": 6,
    "steps": 1000,
    "threshold": 0.75,
    "scale": 1.16,
    "quantile": 1.0,
    "range": "minmax",
    "percentile": 99.99,
    "group": 64,
    "fold_batchnorm": False,
    "bias_correction": False,
    "batchnorm": "trained",
}


@dataclass(frozen=True, eq=False)
class Quantized:
    """A quantized network; ``quantize`` makes it.

    network: in evaluation mode; its weights are the float32 values that the codes stand for.
    bits: mean nominal bits of a quantized weight.
    """

    network: nn.Module
    bits: float
    _result: QuantizedNetwork
    _description: Mapping[str, Any]

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The settings it was made with, as a variant of a study has them."""
        return self._description["steps"][0]["quantized"]

    @property
    def layers(self) -> Sequence[LayerRow]:
        """A row for each weight of two dimensions or more."""
        return self._result.layers

    @property
    def report(self) -> pd.DataFrame:
        """A row for each weight: its bits, error and bytes, or the ``reason`` why it is in float.

        Columns are the fields of ``laq.ptq.layer_report.LayerRow``.
        """
        import pandas as pd

        return pd.DataFrame([layer.row() for layer in self.layers])

    def described(self, **facts: Any) -> Quantized:
        """The same, of whose file the description says ``facts`` too, such as ``classes``.

        With ``network``, the arguments of ``laq.models.networks.create``, ``laq.load`` builds the
        network by itself.
        """
        description = {**self._description, **facts}
        if "network" in facts:
            description.pop("module", None)
        return replace(self, _description=description)

    def save(self, path: str | os.PathLike[str]) -> int:
        """Write a safetensors file with bit-packed weights; return its bytes.

        ``laq.load(path, network)`` reads it, with ``network`` of the class that was quantized.
        """
        packing.save(path, self.network.state_dict(), self._description, self._result.packed)
        return Path(path).stat().st_size

    def export_onnx(self, path: str | os.PathLike[str]) -> int:
        """Write an ONNX file whose quantized weights are integers; return its bytes.

        Raises ``ConfigError`` where onnx is not installed, or the network cannot be expressed.
        """
        from laq.onnx.export import export

        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Path(folder, "network.safetensors")
            self.save(checkpoint)
            return export(checkpoint, path, network=self.network).bytes


def quantize(
    network: nn.Module,
    images: Source,
    bits: int | Sequence[int] = 4,
    method: str = "gpfq",
    scheme: str = "packed",
    per_channel: bool = True,
    skip_layers: Sequence[str] = (),
    activations: int | Mapping[str, Any] | None = None,
    mixed_precision: Sequence[int] | None = None,
    seed: int = 0,
    **options: Any,
) -> Quantized:
    """Quantize the convolution and linear layers of ``network``, which is left as it was.

    Args:
        network: any module that maps images to logits, run in evaluation mode.
        images: calibration images as the network takes them: a tensor (n, c, h, w), float, or
            uint8, of which each channel becomes [0, 1]; or a source of
            ``laq.calibration_images``, of which 64 are drawn. Label-aware calibration gives images
            of the deployed classes alone.
        bits: of a weight, 2 to 8. A list: of equal shares of the weights, in forward order.
        method: ``gpfq``, ``sgpfq``, ``gpfq_l1``, ``gpfq_l0``, ``gptq``, ``qronos``, ``beacon``,
            ``adaround``, or, without images, ``rtn`` and ``stochastic``; as ``compress.method`` of
            a study's config.
        scheme: the levels, as ``compress.alphabet``: ``packed``, ``symmetric``, ``asymmetric``,
            ``paper``, ``ternary``, ``binary``, ``kmeans``, ``powers``, ``quantiles``.
        per_channel: a step for each filter, or one for each layer. With the option ``group``, one
            for each so many inputs of a filter.
        skip_layers: names of layers that stay in float.
        activations: bits of the layers' inputs, or settings ``bits``, ``mode`` (``static``,
            ``dynamic``), ``range``, ``percentile``; None leaves them in float.
        mixed_precision: bits that a layer may have, such as (2, 3, 4, 8). Each layer gets those
            that cost least, with ``bits`` in the mean.
        seed: of the draw of images, patches and stochastic rounding.
        options: ``OPTIONS`` of methods and schemes, such as ``ridge``.

    Raises:
        ConfigError: an argument is unknown, or does not go with another one.
        DataError: images or weights cannot be used; the layer is named.
        LaqError: the network takes more than images.
    """
    settings = _settings(
        bits, method, scheme, per_channel, skip_layers, activations, mixed_precision, options
    )
    if not isinstance(images, Tensor):
        images = calibration_images(images, seed=seed)
    result = compression.compress(
        network,
        images,
        settings,
        patches=devices.generator(seed, "patches"),
        noise=devices.generator(seed, "rounding"),
    )
    described = {
        key: value
        for key, value in recipes.compression_effect(settings).items()
        if key != "patches"
    }
    description = {
        "module": f"{type(network).__module__}.{type(network).__qualname__}",
        "images": list(images.shape[1:]),
        "variant": "quantized",
        "parent": None,
        "steps": [{"quantized": {"compress": described}}],
        "seed": seed,
        "bits": result.bits,
        "layers": [layer.row() for layer in result.layers],
        "transforms": result.transforms,
    }
    return Quantized(result.network.eval(), result.bits, result, description)


def _settings(
    bits: int | Sequence[int],
    method: str,
    scheme: str,
    per_channel: bool,
    skip_layers: Sequence[str],
    activations: int | Mapping[str, Any] | None,
    mixed_precision: Sequence[int] | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """The settings of a ``compress`` entry; raises ``ConfigError`` for those that cannot be."""
    _known("method", method, methods.METHODS)
    _known("scheme", scheme, methods.ALPHABETS)
    for name in options:
        _known("option", name, OPTIONS)
    spec = methods.ALPHABETS[scheme]
    if methods.METHODS[method].equispaced and not spec.equispaced:
        raise ConfigError(
            f"method {method} takes equispaced levels alone, and {scheme} has others: take method "
            "rtn"
        )
    if options.get("sweeps") and (methods.METHODS[method].moves_levels or not spec.equispaced):
        raise ConfigError(f"sweeps need equispaced levels, not those of {method} with {scheme}")
    bits = bits if isinstance(bits, int) else list(bits)
    widths = None if mixed_precision is None else list(mixed_precision)
    for each in (bits if isinstance(bits, list) else [bits], widths or []):
        for width in each:
            if (widths is None and width not in spec.bits) or width < 1:
                raise ConfigError(
                    f"bits is {width}, and scheme {scheme} takes {spec.bits[0]} to {spec.bits[-1]}"
                )
    if isinstance(activations, int):
        activations = {"bits": activations}
    for name in activations or ():
        _known("setting of activations", name, asdict(InputSettings()))
    chosen = {**OPTIONS, **options}
    _known("batchnorm", chosen["batchnorm"], dict.fromkeys(("trained", "reestimated")))
    granularity = "per_channel" if per_channel else "per_tensor"
    if "group" in options:
        granularity = "per_group"
    if granularity not in spec.granularities:
        raise ConfigError(f"scheme {scheme} takes no {granularity} scales")
    if granularity not in methods.METHODS[method].granularities:
        allowed = " or ".join(methods.METHODS[method].granularities)
        raise ConfigError(
            f"method {method} chooses scales itself, {allowed}: leave out "
            f"{'group' if 'group' in options else 'per_channel'}"
        )
    return {
        **chosen,
        "method": method,
        "alphabet": scheme,
        "bits": bits,
        **({} if widths is None else {"widths": widths}),
        "granularity": granularity,
        "skip_layers": list(skip_layers),
        "activations": None if activations is None else asdict(InputSettings(**activations)),
        "patches": "limited",
        "inference": "simulated",
    }


def _known(what: str, name: str, names: Mapping[str, Any]) -> None:
    if name not in names:
        raise ConfigError(f"{what} {name!r} is unknown: take one of {', '.join(names)}")
