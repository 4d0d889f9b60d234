"""Top-1 of a network, over all classes and over those that it is deployed on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from laq.api.images import Examples, Source, examples
from laq.experiments.evaluation import score
from laq.models.networks import to_input
from laq.utils.errors import DataError
from laq.utils.progress import tqdm

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("scope", "n", "correct", "top1", "low", "high", "in_subset")


def evaluate(
    network: nn.Module,
    dataset: Source,
    classes: Sequence[str | int] | None = None,
    *,
    batch_size: int = 64,
    confidence: float = 0.95,
    transform: Callable[[Any], Tensor] | None = None,
    size: int = 224,
) -> pd.DataFrame:
    """Top-1 of ``network`` on the images of ``classes``.

    Args:
        network: maps images to logits, one for each class of ``dataset``.
        dataset: labelled images, as ``laq.calibration_images`` takes them; of a folder that is
            split, those in ``test``.
        classes: names or indices of the classes that the network is deployed on; all where None.
        batch_size: images in one forward pass.
        confidence: of the intervals.
        transform, size: as of ``laq.calibration_images``.

    Returns:
        Two rows, both over the images of ``classes``. ``scope`` ``all``: the prediction is the best
        of all logits. ``subset``: the best of the logits of ``classes``. Columns: ``n`` images,
        ``correct``, ``top1``, ``low`` and ``high`` (Wilson's interval), ``in_subset`` (images whose
        best logit of all belongs to ``classes``).

    Raises:
        DataError: as ``laq.calibration_images``; images have no labels; the network has fewer
            logits than the data set classes, or its logits are not finite.
    """
    tested = examples(dataset, transform, size, "test")
    members, chosen = tested.members(classes), tested.of_classes(classes)
    (outputs,) = logits([network], tested, chosen, batch_size)
    return table(outputs, torch.as_tensor(tested.labels[chosen]), members, confidence)


def table(
    outputs: Tensor, labels: Tensor, members: Sequence[int], confidence: float
) -> pd.DataFrame:
    """The rows of ``evaluate`` for logits (n, classes) of images with ``labels`` (n,)."""
    import pandas as pd

    from laq.analysis.statistics import wilson_interval

    if outputs.shape[1] <= max(members):
        raise DataError(
            f"the network has {outputs.shape[1]} logits, and a class has index {max(members)}"
        )
    rows = pd.DataFrame([vars(result) for result in score(outputs, labels, members)])
    rows["low"], rows["high"] = wilson_interval(rows["correct"], rows["n"], confidence)
    return rows[list(COLUMNS)]


@torch.inference_mode()
def logits(
    networks: Sequence[nn.Module], tested: Examples, indices: np.ndarray, batch_size: int
) -> list[Tensor]:
    """Logits (k, classes) of each network for the images at ``indices`` (k,), float32 on the CPU.

    Images are read once. The networks' training mode is restored.
    """
    training = [network.training for network in networks]
    outputs: list[list[Tensor]] = [[] for _ in networks]
    try:
        for network in networks:
            network.eval()
        for start in tqdm(range(0, len(indices), batch_size), desc="evaluation", mininterval=2):
            images = tested.read(indices[start : start + batch_size])
            for network, parts in zip(networks, outputs, strict=True):
                parameter = next(network.parameters(), torch.empty(0))
                parts.append(network(_input(images, parameter)).float().cpu())
    finally:
        for network, mode in zip(networks, training, strict=True):
            network.train(mode)
    if (shape := outputs[0][0].shape)[1:] != outputs[0][0].flatten(1).shape[1:]:
        raise DataError(f"the network gives {tuple(shape)} for a batch, and not (n, classes)")
    return [torch.cat(parts) for parts in outputs]


def _input(images: Tensor, parameter: Tensor) -> Tensor:
    if images.dtype == torch.uint8:
        return to_input(images, parameter.device).to(parameter.dtype)
    return images.to(parameter.device, parameter.dtype)
