"""Several quantizations of one network, side by side: bytes, accuracy, and which one to deploy."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from laq.api import evaluation
from laq.api.images import Examples, Source, examples
from laq.api.quantization import Quantized, quantize
from laq.checkpoints import packing
from laq.config import zoo_entries
from laq.utils import seeds
from laq.utils.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd

ORIGINAL = "original"
COLUMNS = ("recipe", "bits_per_weight", "bytes", "ratio", "n", "top1", "low", "high", "top1_all")
COLUMNS += ("recommended", "reason")

Recipe = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Comparison:
    """table: a row for each recipe, the original network first. networks: made, by recipe.

    Columns of the table: ``recipe``; ``bits_per_weight``, of codes and scales in the file;
    ``bytes`` of the file; ``ratio`` of the original's bytes to these; ``n`` test images; ``top1``
    over the classes, with Wilson's interval ``low`` and ``high``; ``top1_all`` of the same images
    over all classes of the network; ``recommended``; ``reason``.
    """

    table: pd.DataFrame
    networks: Mapping[str, Quantized]

    @property
    def recommended(self) -> str:
        """The recipe of the smallest file that loses next to nothing over the classes."""
        return str(self.table.loc[self.table["recommended"], "recipe"].iloc[0])

    def described(self, **facts: Any) -> Comparison:
        """The same, with ``facts`` in the description of each file, as ``Quantized.described``."""
        networks = {name: made.described(**facts) for name, made in self.networks.items()}
        return replace(self, networks=networks)

    def plot(self, path: str | os.PathLike[str]) -> list[Path]:
        """Draw top-1 against bytes, as the zoo's figure does; ``path`` with .pdf and .png."""
        import pandas as pd

        from laq.figures import style
        from laq.figures.zoo import accuracy_against_bytes

        family = {name: zoo_entries.family(made.recipe) for name, made in self.networks.items()}
        points = self.table.rename(columns={"recipe": "method"}).assign(
            network="", calibration="subset", scope="subset"
        )
        points["family"] = points["method"].map(family).fillna("float")
        over_all = points.assign(scope="all", top1=points["top1_all"], low=None, high=None)
        figure = accuracy_against_bytes(pd.concat([points, over_all], ignore_index=True), "recipes")
        paths = [Path(f"{path}{suffix}") for suffix in (".pdf", ".png")]
        style.save(figure, *paths)
        return paths

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write ``comparison.csv``, and a checkpoint of each recipe, into ``folder``."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        self.table.to_csv(place / "comparison.csv", index=False)
        paths = [place / "comparison.csv"]
        for name, network in self.networks.items():
            paths.append(place / f"{name}.safetensors")
            network.save(paths[-1])
        return paths


def default_recipes(bits: Sequence[int] = (3, 4, 8), label_aware: bool = True) -> dict[str, Recipe]:
    """GPFQ at each number of bits; where ``label_aware``, also calibrated on all classes."""
    chosen: dict[str, Recipe] = {}
    for width in bits:
        chosen[f"{width}_bits"] = {"bits": width}
        if label_aware:
            chosen[f"{width}_bits_agnostic"] = {"bits": width, "calibration": "all"}
    return chosen


def compare(
    network: nn.Module,
    recipes: Mapping[str, Recipe],
    dataset: Source,
    classes: Sequence[str | int] | None = None,
    *,
    calibration: Source | None = None,
    images: int = 64,
    tolerance: float = 0.01,
    confidence: float = 0.95,
    batch_size: int = 64,
    transform: Callable[[Any], Tensor] | None = None,
    size: int = 224,
    seed: int = 0,
) -> Comparison:
    """Quantize ``network`` by each recipe, weigh the files, and test all on the same images.

    Args:
        network: maps images to logits; left as it was.
        recipes: arguments of ``laq.quantize`` by the recipe's name, such as ``{"bits": 4}``. Each
            may have ``calibration``: ``classes`` (label-aware, the default) or ``all``.
        dataset: labelled test images, as ``laq.calibration_images`` takes them.
        classes: names or indices of the classes that the network is deployed on; all where None.
        calibration: where calibration images are drawn; ``dataset`` where None. Then images that
            calibrate are not tested on. Of a folder that is split, its ``train`` part.
        images: number of calibration images of a recipe.
        tolerance: of top-1 over the classes that may be lost for a smaller file; 0.01 is a point.
        confidence, batch_size: as of ``laq.evaluate``.
        transform, size: as of ``laq.calibration_images``.
        seed: of all draws.

    Raises:
        ConfigError: a recipe has no valid name, or an argument that ``laq.quantize`` does not take.
        DataError: as ``laq.calibration_images`` and ``laq.evaluate``.
    """
    _check(recipes)
    tested = examples(dataset, transform, size, "test")
    members, chosen = tested.members(classes), tested.of_classes(classes)
    if calibration is None and not _is_split(dataset):
        pool, chosen, drawn = tested, *_held_out(tested, chosen, images, seed)
    else:
        source = dataset if calibration is None else calibration
        folder = isinstance(source, str | os.PathLike)
        pool = examples(source, transform if folder else None, size, "train")
        drawn = {
            "classes": _draw(pool.of_classes(classes), images, seed),
            "all": _draw(pool.of_classes(None), images, seed),
        }
    networks, sizes = {}, []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.safetensors")
        packing.save(path, network.state_dict(), {})
        sizes.append((path.stat().st_size, 32.0))
        for name, recipe in recipes.items():
            settings = {"seed": seed, **recipe}
            calibrating = pool.read(drawn[settings.pop("calibration", "classes")])
            networks[name] = quantize(network, calibrating, **settings)
            sizes.append((networks[name].save(path), _bits_per_weight(networks[name])))
    made = [network, *(quantized.network for quantized in networks.values())]
    labels = torch.as_tensor(tested.labels[chosen])
    accuracy, memory = [], []
    for name, outputs, (size_in_bytes, bits) in zip(
        [ORIGINAL, *networks],
        evaluation.logits(made, tested, chosen, batch_size),
        sizes,
        strict=True,
    ):
        key = {"network": "", "subset": "", "variant": name, "repeat": 1}
        scores = evaluation.table(outputs, labels, members, confidence)
        accuracy += [{**key, **row} for row in scores.to_dict("records")]
        memory.append({**key, "packed_bytes": size_in_bytes, "bits_per_weight": bits})
    return Comparison(_table(accuracy, memory, tolerance, confidence), networks)


def _table(
    accuracy: list[dict[str, Any]], sizes: list[dict[str, Any]], tolerance: float, confidence: float
) -> pd.DataFrame:
    import pandas as pd

    from laq.analysis.deployment import choose

    table = choose(pd.DataFrame(accuracy), pd.DataFrame(sizes), tolerance, confidence)
    table = table.rename(columns={"variant": "recipe"})
    table["ratio"] = table["bytes"].iloc[0] / table["bytes"]
    return table[list(COLUMNS)]


def _check(recipes: Mapping[str, Recipe]) -> None:
    if not recipes:
        raise ConfigError("there is no recipe to compare")
    for name, recipe in recipes.items():
        if name == ORIGINAL or not re.fullmatch(r"\w[\w.-]*", name):
            raise ConfigError(
                f"recipe {name!r}: names have letters, digits, _, - and ., and original is "
                "taken; files are named after them"
            )
        if (whose := recipe.get("calibration", "classes")) not in ("classes", "all"):
            raise ConfigError(f"recipe {name}: calibration is {whose!r}; take classes or all")


def _is_split(source: Source) -> bool:
    from laq.data.folder_tree import is_split

    return isinstance(source, str | os.PathLike) and is_split(Path(source))


def _draw(indices: np.ndarray, count: int, seed: int) -> np.ndarray:
    order = seeds.stream(seed, "calibration").permutation(len(indices))[:count]
    return indices[np.sort(order)]


def _held_out(
    tested: Examples, chosen: np.ndarray, count: int, seed: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Of the images ``chosen`` those that are left to test on, and those that calibrate.

    At most half of them calibrate. Label-agnostic calibration takes as many, of all classes, and of
    the deployed ones none that is tested on.
    """
    count = min(count, len(chosen) // 2)
    if not count:
        raise DataError(
            "an image that calibrates is not tested on: give more images, or calibration"
        )
    aware = _draw(chosen, count, seed)
    others = np.setdiff1d(np.arange(tested.count), chosen)
    agnostic = _draw(np.union1d(aware, others), count, seed)
    return np.setdiff1d(chosen, aware), {"classes": aware, "all": agnostic}


def _bits_per_weight(network: Quantized) -> float:
    """Bits of codes and scales a quantized weight; 32 where nothing is quantized."""
    rows = [row for row in network.layers if row.bytes is not None]
    weights = sum(row.weights for row in rows)
    return 8 * sum(row.bytes for row in rows) / weights if weights else 32.0
