"""The table of bytes against files and histograms measured here, one by one."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors import safe_open
from scipy import stats

from laq.checkpoints import packing
from laq.checkpoints.memory import measure
from laq.quantizers.packed_weight import PackedWeight
from laq.quantizers.uniform import Alphabet
from laq.utils.files import write_csv
from measure_memory import measure_memory


def runs(rows: list[int], bits: list[int], seed: int = 0) -> list[PackedWeight]:
    """A weight (Σ rows, 40) whose runs of rows have so many bits and one step a row."""
    generator = torch.Generator().manual_seed(seed)
    weights = []
    for count, width in zip(rows, bits, strict=True):
        largest = 2 ** (width - 1) - 1
        spread = torch.randn(count, 40, generator=generator) * largest / 3
        codes = spread.round().clamp(-largest, largest).to(torch.int8)
        weights.append(PackedWeight(codes, Alphabet.of(torch.rand(count, 1), width, "packed")))
    return weights


def entropy_bits(codes: torch.Tensor) -> float:
    return codes.numel() * stats.entropy(codes.unique(return_counts=True)[1], base=2)


@pytest.fixture
def study(tmp_path) -> dict[str, Path]:
    """A float checkpoint, one of mixed precision with a layer in float, and its report."""
    packed = {"a.weight": runs([50], [4]), "b.weight": runs([20, 30], [5, 3], seed=1)}
    state = {name: torch.cat([run.values for run in parts]) for name, parts in packed.items()}
    state |= {"c.weight": torch.rand(7, 40), "a.bias": torch.rand(50)}
    paths = {"original": tmp_path / "original.safetensors", "quant": tmp_path / "quant.safetensors"}
    packing.save(paths["original"], state, {"variant": "original"})
    packing.save(paths["quant"], state, {"variant": "quant"}, packed)
    rows = [
        {
            "layer": name.removesuffix(".weight"),
            "weights": 2000,
            "bits": sum(run.grid.bits * run.codes.numel() for run in parts) / 2000,
            "entropy": sum(entropy_bits(run.codes) for run in parts) / 2000,
            "bytes": sum(run.nbytes for run in parts),
        }
        for name, parts in packed.items()
    ]
    rows.append({"layer": "c", "weights": 280, "bits": 32, "entropy": None, "bytes": None})
    paths["layers"] = tmp_path / "quant.csv"
    write_csv(paths["layers"], pd.DataFrame(rows).astype({"bytes": "Int64"}))
    return paths


def test_a_compressed_network(study):
    memory = measure(study["quant"], study["original"], study["layers"])
    packed = packing.read(study["quant"]).packed
    parts = [run for weight in packed.values() for run in weight]
    with safe_open(study["quant"], framework="pt") as file:
        sizes = {
            name: file.get_tensor(name).nbytes
            for name in file.keys()  # noqa: SIM118
        }
    codes = sum(size for name, size in sizes.items() if ".codes." in name)
    steps = sum(size for name, size in sizes.items() if ".step." in name)
    assert memory.weights == 4000
    assert memory.float_bytes == study["original"].stat().st_size
    assert memory.packed_bytes == study["quant"].stat().st_size
    assert memory.ratio == memory.packed_bytes / memory.float_bytes
    ideal = sum(entropy_bits(run.codes) for run in parts) / 8
    assert memory.entropy_bytes == pytest.approx(memory.packed_bytes - codes + ideal, abs=1)
    assert codes - 600 < ideal < codes  # Gaussian codes leave something, and not all
    assert memory.bits_per_weight == pytest.approx(8 * (codes + steps) / 4000)
    assert memory.nominal_bits == pytest.approx((4 * 50 + 5 * 20 + 3 * 30) / 100)


def test_a_network_in_float_has_32_bits_and_no_code_to_shorten(study):
    memory = measure(study["original"], study["original"])
    size = study["original"].stat().st_size
    assert (memory.weights, memory.bits_per_weight, memory.nominal_bits) == (0, 32, 32)
    assert memory.packed_bytes == memory.float_bytes == memory.entropy_bytes == size
    assert memory.ratio == 1


def test_the_table_has_a_row_for_each_network_and_each_of_its_variants(study, tmp_path):
    tuned = tmp_path / "tuned.safetensors"
    packing.save(tuned, {"w": torch.rand(500)}, {})
    other = tmp_path / "other.safetensors"
    packing.save(other, {"w": torch.rand(9000)}, {})
    original, quant, layers = (str(study[name]) for name in ("original", "quant", "layers"))
    measure_memory(
        originals=[original, str(other)],
        checkpoints=[str(tuned), quant] * 4,
        layers=[layers] * 4,
        memory=str(tmp_path / "memory.csv"),
        networks=["n", "o"],
        subsets=["s", "t"],
        variants=[("ft", 1), ("quant", 2)],
        compressed=[("quant", 2)],
    )
    table = pd.read_csv(tmp_path / "memory.csv", keep_default_na=False)
    assert list(table.columns) == [
        "network",
        "subset",
        "variant",
        "repeat",
        "weights",
        "float_bytes",
        "packed_bytes",
        "ratio",
        "entropy_bytes",
        "bits_per_weight",
        "nominal_bits",
    ]
    assert list(zip(table["network"], table["subset"], table["variant"], strict=True)) == [
        ("n", "", "original"),
        ("o", "", "original"),
        *((n, s, v) for n in "no" for s in "st" for v in ("ft", "quant")),
    ]
    sizes = {"n": study["original"].stat().st_size, "o": other.stat().st_size}
    assert table["float_bytes"].tolist() == table["network"].map(sizes).tolist()
    own = {"ft": tuned.stat().st_size, "quant": study["quant"].stat().st_size}
    variants = table[table["subset"] != ""]
    assert variants["packed_bytes"].tolist() == variants["variant"].map(own).tolist()
    quantized = table[table["variant"] == "quant"]
    assert math.isclose(quantized["nominal_bits"].iloc[-1], 3.9)
    assert table.loc[table["variant"] != "quant", "nominal_bits"].eq(32).all()
