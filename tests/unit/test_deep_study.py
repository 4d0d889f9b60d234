"""The study of Deep Compression: its tables against files, numpy and exhaustive search."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, linear

from laq import training
from laq.checkpoints import packing
from laq.checkpoints.deep_container import file
from laq.checkpoints.lineage import describe
from laq.config import deep_plan
from laq.data import Dataset
from laq.deep_compression import distribution, layer_table
from laq.experiments.deep import curves, first_centroids, stage_table
from laq.experiments.deep.first_centroids import CentroidComparison
from laq.experiments.deep.runner import Bench, timed
from laq.experiments.variants.task import Task
from laq.models import networks
from laq.utils.devices import seed_everything
from tests.configs import checked, edited
from tests.unit.test_training import CPU

torch.set_num_threads(1)

SPEC = {"name": "lenet5", "classes": 3, "channels": 1, "side": 16}
SECTION = {
    "networks": {
        "small": {
            "density": 0.05,
            "rounds": 2,
            "epochs": 1,
            "learning_rate": 0.003,
            "bits_conv": 4,
            "bits_linear": 3,
            "tuning_epochs": 1,
        }
    },
    "curves": {"density": [1.0, 0.1], "bits": [1, 8], "energy": [1.0, 0.5]},
    "initial": {"bits": [1, 3], "repeats": 2},
}


def section(**changes: Any) -> dict[str, Any]:
    own = SECTION["networks"]["small"] | changes
    edits = {"deep_compression": SECTION | {"networks": {"small": own}}}
    return checked(edited(edits))["deep_compression"]


def images(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noise (n, 1, 16, 16) with a bright third."""
    labels = torch.arange(n) % 3
    made = torch.randint(0, 120, (n, 1, 16, 16), generator=torch.Generator().manual_seed(seed))
    for image, label in zip(made, labels, strict=True):
        image[0, 5 * label : 5 * label + 6] += 60
    return made.to(torch.uint8), labels


TRAIN, TEST = images(48, 0), images(150, 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained network, ``original.safetensors``."""
    folder = tmp_path_factory.mktemp("deep")
    network, generator = networks.create(**SPEC), seed_everything(0)
    training.train(network, TRAIN, TEST, {"epochs": 3, "batch_size": 12}, generator, CPU)
    described = {"network": SPEC, "classes": ["a", "b", "c"], "variant": "original"}
    described |= {"parent": None, "steps": [], "seed": 0}
    packing.save(folder / "original.safetensors", network.state_dict(), described)
    return folder


@pytest.fixture(scope="module")
def bench(place: Path) -> Bench:
    splits = [Dataset(x.numpy(), y.numpy(), ("a", "b", "c")) for x, y in (TRAIN, TEST)]
    original = place / "original.safetensors"
    task = Task(
        packing.load(original),
        describe(original),
        name="deep",
        recipe={},
        members=[0, 1, 2],
        taken=[0, 1, 2],
        train=splits[0],
        test=splits[1],
        seed=0,
    )
    return Bench(task, place)


@pytest.fixture(scope="module")
def stages(bench: Bench, place: Path) -> Iterator[Any]:
    """Rows, seconds, the course, and the files by stage."""
    names = {"pruned": "pruned", "shared": "shared", "huffman": "deep", "ans": "ans"}
    files = {stage: str(place / f"{name}.safetensors") for stage, name in names.items()}
    settings = deep_plan.course(section(), "small")
    original = str(place / "original.safetensors")
    yield *stage_table.rows(bench, original, settings, files, None), files


def correct(state: dict[str, Tensor]) -> int:
    """Test images that a lenet5 of these tensors has right, layer by layer."""
    pool = torch.nn.functional.max_pool2d
    x = TEST[0].float() / 255
    x = pool(conv2d(x, state["conv1.weight"], state["conv1.bias"]), 2)
    x = pool(conv2d(x, state["conv2.weight"], state["conv2.bias"]), 2)
    x = linear(x.flatten(1), state["fc1.weight"], state["fc1.bias"]).relu()
    logits = linear(x, state["fc2.weight"], state["fc2.bias"])
    return int((logits.argmax(1) == TEST[1]).sum())


def test_bytes_and_accuracy_are_those_of_the_files(stages, bench, place):
    rows, seconds, _, files = stages
    order = ["original", "pruned", "clustered", "shared", "huffman", "ans"]
    assert [row["stage"] for row in rows] == [row["stage"] for row in seconds] == order
    paths = {**files, "original": place / "original.safetensors"}
    table = {row["stage"]: row for row in rows}
    for stage, path in paths.items():
        row, state = table[stage], packing.read(path).state
        assert row["file"] == Path(path).name
        assert row["bytes"] == Path(path).stat().st_size
        assert row["correct"] == correct(state) and row["n"] == len(TEST[1])
        assert row["top1"] == row["correct"] / row["n"]
        zeros = sum(int((tensor == 0).sum()) for tensor in state.values())
        assert row["kept"] == row["parameters"] - zeros
        assert row["ratio"] == 4 * sum(t.numel() for t in state.values()) / row["bytes"]
    ratios = [table[stage]["ratio"] for stage in ("original", "pruned", "shared", "huffman")]
    assert ratios == sorted(ratios) and ratios[0] < 1 < ratios[1]
    assert table["clustered"]["file"] is None and list(place.glob(".deep*")) == []
    same = [packing.read(files[stage]).state for stage in ("shared", "huffman", "ans")]
    for name, tensor in same[0].items():
        assert torch.equal(tensor, same[1][name]) and torch.equal(tensor, same[2][name])


def test_layers_add_up_to_the_files_and_the_formula_is_the_papers(stages, bench):
    rows, _, course, files = stages
    sizes = {row["stage"]: row["bytes"] for row in rows if row["stage"] in files}
    table = pd.DataFrame(layer_table.rows(course, bench.parameters, sizes)).set_index("part")
    layers, rest, whole = (table.loc[[part]] for part in ("layer", "rest", "all"))
    assert list(layers["layer"]) == ["conv1", "conv2", "fc1", "fc2"]
    assert list(layers["kind"]) == ["conv", "conv", "linear", "linear"]
    for stage, size in sizes.items():
        column = table[f"{stage}_bytes"]
        assert column["layer"].sum() + column["rest"] == column["all"] == size
        assert column["rest"] > 0
    assert whole["weights"].item() == bench.parameters == 4 * whole["float_bytes"].item() / 16
    assert rest["weights"].item() == 20 + 50 + 500 + 3  # biases
    final = packing.read(files["huffman"]).state
    for _, row in layers.iterrows():
        weight = final[f"{row['layer']}.weight"].numpy()
        kept, shared = np.count_nonzero(weight), len(np.unique(weight[weight != 0]))
        assert (row["weights"], row["kept"]) == (weight.size, kept)
        assert shared <= row["centroids"] <= 2 ** (4 if row["kind"] == "conv" else 3)
        n, k = row["kept"], row["centroids"]
        assert row["ratio_formula"] == pytest.approx(32 * n / (n * np.log2(k) + 32 * k))
        bits = n * row["code_bits"] + 8 * row["codebook_bytes"]
        assert row["ratio_sharing"] == pytest.approx(32 * n / bits)
        assert row["ratio_huffman"] == row["float_bytes"] / row["huffman_bytes"]
        for part in ("code", "index"):  # Shannon and Huffman, and strings of whole bytes
            entries = n + row["fillers"]
            assert row[f"{part}_entropy"] <= row[f"{part}_bits_huffman"] + 1e-9
            assert row[f"{part}_bits_huffman"] < row[f"{part}_entropy"] + 1 + 8 / entries
    assert whole["ratio_huffman"].item() == 4 * bench.parameters / sizes["huffman"]
    stored = layers["kept"] + layers["fillers"]
    mean = (layers["code_bits"] * stored).sum() / stored.sum()
    assert whole["code_bits"].item() == pytest.approx(mean)


def test_every_weight_is_in_the_distributions(stages, bench):
    _, _, course, files = stages
    before = bench.original.state_dict()
    table = pd.DataFrame(distribution.rows(before, course, bins=7))
    states = {
        "original": before,
        "pruned": packing.read(files["pruned"]).state,
        "shared": packing.read(files["huffman"]).state,
    }
    for (layer, stage), rows in table.groupby(["layer", "stage"], sort=False):
        if stage == "clustered":
            assert rows["count"].sum() == (states["pruned"][f"{layer}.weight"] != 0).sum()
            continue
        values = states[stage][f"{layer}.weight"].double().numpy().reshape(-1)
        values = values if stage == "original" else values[values != 0]
        if stage == "shared":
            assert (rows["low"] == rows["high"]).all()
            found, counts = np.unique(values, return_counts=True)
            used = rows[rows["count"] > 0]
            assert (used["low"] == found).all() and (used["count"] == counts).all()
            continue
        assert len(rows) == 7 and (rows["low"].iloc[1:].values == rows["high"].iloc[:-1]).all()
        for place, row in enumerate(rows.itertuples(), 1):
            upper = values <= row.high if place == 7 else values < row.high
            assert row.count == ((values >= row.low) & upper).sum()
        assert rows["count"].sum() == len(values)
    assert set(table["stage"]) == {"original", "pruned", "clustered", "shared"}


def curve(bench: Bench, name: str, folder: Path, **changes: Any) -> pd.DataFrame:
    own = deep_plan.curve(section(**changes), "small", name)
    points = [(value, folder / f".{value}.state") for value in own["values"]]
    found, times = timed(curves.CURVES[name](bench, own["course"], points), curves.POINT)
    assert [row["seconds"] > 0 for row in times] == [True] * len(found)
    return pd.DataFrame(found)


def test_pruning_and_both_come_of_the_same_course(bench, place, tmp_path, stages):
    table = curve(bench, "pruning", tmp_path)
    keys = table[["method", "training", "density"]].itertuples(index=False, name=None)
    ways = [("pruning", "none"), ("both", "none"), ("pruning", "retrained"), ("both", "retrained")]
    assert list(keys) == [(*way, share) for share in (1.0, 0.1) for way in ways]
    table = table.set_index(["method", "training", "density"])
    # All weights kept, in one step and without training: the network that there was.
    whole = table.loc["pruning", "none", 1.0]
    assert whole["correct"] == correct(bench.original.state_dict())
    assert 0.95 < whole["ratio"] < 1
    # Tables of indices that are next to none take a few bytes.
    assert (table["huffman_bytes"] <= table["bytes"] + 32).all()
    for training_ in ("none", "retrained"):
        for method in ("pruning", "both"):
            ratios = [table.loc[method, training_, kept]["ratio"] for kept in (1.0, 0.1)]
            assert ratios[1] > 3 * ratios[0]
    own = deep_plan.course(section(), "small", density=0.1)
    made = bench.compress(own)
    point = table.loc["both", "retrained", 0.1]
    assert point["correct"] == correct(made.state)
    path = tmp_path / "x.safetensors"
    made.save(path)
    assert point["huffman_bytes"] == path.stat().st_size


def test_quantization_alone_prunes_nothing(bench, tmp_path):
    table = curve(bench, "quantization", tmp_path).set_index(["training", "bits"])
    weights = sum(p.numel() for p in bench.original.parameters() if p.ndim > 1)
    for (_, bits), row in table.iterrows():
        codes, books = weights * bits / 8, 4 * 4 * 2**bits
        assert codes < row["bytes"] < codes + books + 4 * 600 + 2500
    assert list(table.index) == [(t, b) for t in ("none", "retrained") for b in (1, 8)]
    # Values of 8 bits next to none change an answer, which one bit does.
    whole = correct(bench.original.state_dict())
    assert abs(table.loc["none", 8]["correct"] - whole) <= 2
    assert list(tmp_path.iterdir()) == [] or all(p.name[0] == "." for p in tmp_path.iterdir())


def test_low_rank_is_as_numpy_cuts_it_and_is_trained_as_long(bench, tmp_path, monkeypatch):
    epochs = []
    fit = training.finetune

    def counted(network, images, test, recipe, *rest, **more):
        epochs.append(recipe["epochs"])
        return fit(network, images, test, recipe, *rest, **more)

    monkeypatch.setattr(training, "finetune", counted)
    table = curve(bench, "lowrank", tmp_path).set_index(["training", "energy"])
    own = section()["networks"]["small"]
    assert epochs == [own["round_epochs"] + own["epochs"]] * 2
    state = copy.deepcopy(bench.original.state_dict())
    size = 4 * bench.parameters
    for name in ("conv1", "conv2", "fc1", "fc2"):
        weight = state[f"{name}.weight"]
        u, s, v = np.linalg.svd(weight.double().flatten(1).numpy(), full_matrices=False)
        energy = np.cumsum(s**2)
        rank = int(np.searchsorted(energy, 0.5 * energy[-1])) + 1
        if rank * (len(u) + v.shape[1]) < weight.numel():
            cut = (u[:, :rank] * s[:rank]) @ v[:rank]
            state[f"{name}.weight"] = torch.from_numpy(cut).float().view(weight.shape)
            size += 4 * (rank * (len(u) + v.shape[1]) - weight.numel())
    point = table.loc["none", 0.5]
    assert abs(point["correct"] - correct(state)) <= 1
    assert size < point["bytes"] == point["huffman_bytes"] < size + 2500
    assert table.loc["none", 1.0]["correct"] == correct(bench.original.state_dict())
    assert point["bytes"] == pytest.approx(table.loc["retrained", 0.5]["bytes"], abs=64)


def best_pair(values: np.ndarray) -> float:
    """Least Σ (w − c)² with two centroids, by every split of the sorted values."""
    ordered = np.sort(values.astype(np.float64))
    return min(
        ((ordered[:cut] - ordered[:cut].mean()) ** 2).sum()
        + ((ordered[cut:] - ordered[cut:].mean()) ** 2).sum()
        for cut in range(1, len(ordered))
    )


def test_first_centroids_are_compared_on_the_same_pruned_network(bench, place, stages, tmp_path):
    files = stages[3]
    comparison, points = compared(bench, place, files["pruned"])
    rows, seconds = comparison.run(points, comparison.kept(tmp_path / "initial.csv"))
    assert [set(each) for each in seconds] == [{*first_centroids.POINT, "seconds"}] * len(rows)
    table = pd.DataFrame(rows).set_index(["bits", "initial", "repeat", "stage"])
    ways = [("linear", 1), ("density", 1), ("random", 1), ("random", 2), ("optimal", 1)]
    expected = [
        (bits, *way, stage) for bits in (1, 3) for way in ways for stage in ("clustered", "shared")
    ]
    assert list(table.index) == expected
    pruned = file.contained(files["pruned"]).weights
    values = [own.values.numpy() for own in pruned.values()]
    least = np.sqrt(sum(map(best_pair, values)) / sum((v.astype(float) ** 2).sum() for v in values))
    assert table.loc[1, "optimal", 1, "clustered"]["error"] == pytest.approx(least, rel=1e-4)
    clustered = table.xs("clustered", level="stage")["error"]
    for bits in (1, 3):
        best = clustered[bits, "optimal", 1]
        assert all(clustered[bits] >= best - 1e-6)
    assert clustered[3, "linear", 1] < clustered[1, "linear", 1]
    assert clustered[3, "random", 1] != clustered[3, "random", 2]
    assert (table["ratio"] == 4 * bench.parameters / table["bytes"]).all()


def compared(bench: Bench, place: Path, pruned: str) -> tuple[CentroidComparison, list[Any]]:
    own, parent = deep_plan.initial(section(), "small"), str(place / "original.safetensors")
    comparison = CentroidComparison.read(bench, pruned, parent, own["course"])
    return comparison, first_centroids.points(own["bits"], own["repeats"])


def test_a_comparison_goes_on_with_the_point_that_was_running(
    bench, place, stages, tmp_path, monkeypatch
):
    comparison, points = compared(bench, place, stages[3]["pruned"])
    points = points[:3]
    undisturbed, _ = comparison.run(points, comparison.kept(tmp_path / "a.csv"))
    rows, made, begun = CentroidComparison.rows, [], []

    def killed(self, point, state):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(point)
        return rows(self, point, state)

    monkeypatch.setattr(CentroidComparison, "rows", killed)
    with pytest.raises(KeyboardInterrupt):
        comparison.run(points, comparison.kept(tmp_path / "b.csv"))

    def again(self, point, state):
        begun.append(point)
        return rows(self, point, state)

    monkeypatch.setattr(CentroidComparison, "rows", again)
    kept = compared(bench, place, stages[3]["pruned"])[0].kept(tmp_path / "b.csv")
    found, seconds = comparison.run(points, kept)
    assert made == points[:2] and begun == points[2:]
    assert json.dumps(found) == json.dumps(undisturbed)
    assert len(seconds) == len(found) and all(each["seconds"] > 0 for each in seconds)
    assert [path.suffix for path in kept.folder.iterdir()] == [".json"] * 3
    # Of another pruned network nothing is taken.
    other = dataclasses.replace(comparison, described={"digest": "0" * 64})
    assert other.kept(tmp_path / "b.csv").find(dataclasses.asdict(points[0])) is None
    kept.clear()
    assert not kept.folder.exists()
