"""Deeply compressed files in the hands of all that reads checkpoints."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

import inspect_checkpoint
from laq.checkpoints import inspection, memory, packing
from laq.checkpoints.deep_container import file, size_formula
from laq.checkpoints.deep_container.sparse_weight import PrunedWeight, SharedWeight
from laq.models import networks
from laq.utils.errors import CheckpointError, DataError
from laq.utils.files import write_rows

LIBRARY = Path(__file__).parents[2] / "src"
SPEC = {"name": "small_resnet", "classes": 3, "channels": 1, "widths": [8, 16]}
FACTS = {
    "network": SPEC,
    "classes": ["a", "b", "c"],
    "images": [1, 8, 8],
    "variant": "deep",
    "parent": "original",
    "parent_digest": "0" * 64,
    "steps": [{"deep": {"parent": "original", "deep": {"coder": "huffman"}}}],
    "seed": 0,
    "repeat": 1,
    "subset": [0, 2],
}
SHARED = ("head.weight", "stages.1.conv1.weight", "stages.1.conv2.weight")
PRUNED = "stem.0.weight"


def compressed() -> tuple[dict[str, torch.Tensor], dict[str, SharedWeight | PrunedWeight]]:
    torch.manual_seed(0)
    state = networks.create(**SPEC).state_dict()
    weights = {PRUNED: PrunedWeight.of(state[PRUNED], state[PRUNED].abs() > 0.1)}
    for name in SHARED:
        codes = torch.randint(15, state[name].shape)
        kept = torch.rand(codes.shape) < 0.3
        weights[name] = SharedWeight.of(codes, torch.randn(15), kept, 5)
    return state | {name: weight.weight() for name, weight in weights.items()}, weights


def written(path: Path, coder: str = "huffman") -> dict[str, torch.Tensor]:
    state, weights = compressed()
    file.save(path, state, FACTS, weights, coder)
    return state


@pytest.mark.parametrize("coder", ["fixed", "huffman", "ans"])
def test_the_network_is_loaded_as_any_other(tmp_path: Path, coder: str) -> None:
    path = tmp_path / "deep.safetensors"
    state = written(path, coder)
    first = path.read_bytes()
    found = packing.read(path)
    assert found.description == FACTS and found.state.keys() == state.keys()
    assert all(torch.equal(found.state[name], tensor) for name, tensor in state.items())
    assert found.packed.keys() == {*SHARED}
    for name, (run,) in found.packed.items():
        assert torch.equal(run.values, state[name])
        assert (run.grid.levels, run.grid.bits) == (16, 4)
    network = networks.create(**SPEC).eval()
    network.load_state_dict(state)
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(packing.load(path)(images), network(images))
    assert packing.classes(path) == {0: "a", 2: "c"}
    written(path, coder)
    assert path.read_bytes() == first


def report() -> list[dict[str, object]]:
    """The layer report, as ``laq.checkpoints.memory`` reads it."""
    rows = []
    for name, weight in compressed()[1].items():
        if isinstance(weight, SharedWeight):
            sizes = size_formula.measured(weight, "huffman")
            facts = {"weights": sizes.weights, "bits": 4, "entropy": sizes.entropy}
            rows.append({"layer": name.removesuffix(".weight"), **facts, "bytes": sizes.bytes})
    return rows


def test_its_memory_is_that_of_the_file(tmp_path: Path) -> None:
    path, original = tmp_path / "deep.safetensors", tmp_path / "original.safetensors"
    state = written(path)
    packing.save(original, state, {"variant": "original"})
    write_rows(tmp_path / "deep.csv", report())
    found = memory.measure(path, original, tmp_path / "deep.csv")
    assert found.packed_bytes == path.stat().st_size
    assert found.weights == sum(state[name].numel() for name in SHARED)
    table = pd.DataFrame(report())
    assert found.bits_per_weight == pytest.approx(8 * table["bytes"].sum() / found.weights)
    coded = sum(run.code_bytes for (run,) in packing.read(path).packed.values())
    best = (table["weights"] * table["entropy"]).sum() / 8
    assert found.entropy_bytes == pytest.approx(found.packed_bytes - coded + best, abs=1)
    write_rows(tmp_path / "deep.csv", report()[:2])
    with pytest.raises(DataError, match=r"deep\.safetensors holds .* quantized weights"):
        memory.measure(path, original, tmp_path / "deep.csv")


def test_it_is_inspected_part_by_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "deep.safetensors"
    state = written(path)
    found = inspection.inspect(path)
    json.dumps(found, allow_nan=False)
    rows = {row["layer"]: row for row in found["packed"]}
    for told in report():
        row = rows[told["layer"]]
        assert (row["bytes"], row["entropy"]) == (told["bytes"], pytest.approx(told["entropy"]))
        assert row["zeros"] == int((state[f"{told['layer']}.weight"] == 0).sum())
    coded = {row["layer"]: row for row in found["coded"]}
    weight = compressed()[1]["head.weight"]
    assert coded["head"] == {"layer": "head", **vars(size_formula.measured(weight, "huffman"))}
    assert found["totals"]["file_bytes"] == path.stat().st_size
    assert "stem.0" in {row["layer"] for row in found["floats"]}
    assert inspect_checkpoint.main([str(path)]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^head +huffman +\d+\.\d% ", shown, re.M)


def test_damage_names_the_file_and_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "deep.safetensors"
    written(path)
    whole = path.read_bytes()
    readers = (packing.load, packing.read, file.contained)
    for place in [*range(0, len(whole), 211), *range(0, 140, 3), len(whole) - 1]:
        flipped = bytearray(whole)
        flipped[place] ^= 4
        for content in (flipped, whole[:place]):
            path.write_bytes(content)
            for reader in readers:
                with pytest.raises(CheckpointError, match=re.escape(str(path))) as error:
                    reader(path)
                assert "delete it" in str(error.value) or "give a checkpoint" in str(error.value)


def test_what_is_not_finite_is_refused_by_its_tensor(tmp_path: Path) -> None:
    path = tmp_path / "deep.safetensors"
    state, weights = compressed()
    state["head.bias"] = torch.full((3,), torch.nan)
    file.save(path, state, FACTS, weights)
    with pytest.raises(CheckpointError, match=r"head\.bias holds NaN or infinite.*delete it"):
        packing.read(path)


def test_huffman_is_read_with_torch_safetensors_and_numpy_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep.safetensors"
    written(path)
    code = (
        "import sys\n"
        "for name in ('numba', 'constriction', 'pandas', 'scipy', 'torchvision'):\n"
        "    sys.modules[name] = None\n"
        "from laq.checkpoints import packing; packing.load(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=LIBRARY, check=True)
