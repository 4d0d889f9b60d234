"""What a person is shown, against the codes that were stored."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from scipy import stats

import inspect_checkpoint
from laq.checkpoints import packing
from laq.checkpoints.inspection import inspect, render
from laq.quantizers.packed_weight import PackedWeight
from laq.quantizers.uniform import Alphabet

DESCRIPTION = {
    "alphabet": "packed",
    "calibration": {"classes": "subset", "images": 64},
    "classes": [f"class_{index}" for index in range(100)],
    "network": {"name": "tiny", "classes": 100, "widths": [4, 8]},
    "parent": "ft",
    "seed": 7,
    "steps": [
        {"ft": {"finetune": {"epochs": 3}, "parent": "original"}},
        {"mp": {"compress": {"bits": [5, 3], "skip_layers": []}, "parent": "ft"}},
    ],
    "variant": "mp",
}
FLOAT = {"samples": None, "error": None, "silent": None}
LAYERS = [
    {"layer": "stem", "reason": "", "samples": 1936, "error": 0.1199, "silent": 0},
    {"layer": "body", "reason": "", "samples": 64, "error": 0.0448, "silent": 12},
    {"layer": "head", "reason": "kept in float by the config", **FLOAT},
]


@pytest.fixture
def packed() -> dict[str, list[PackedWeight]]:
    generator = torch.Generator().manual_seed(0)

    def run(shape, bits, step):
        largest = 2 ** (bits - 1) - 1
        codes = torch.randint(-largest, largest + 1, shape, generator=generator)
        return PackedWeight(codes, Alphabet.of(step, bits, "packed"))

    return {
        "body.weight": [
            run((6, 4, 3, 3), 5, torch.tensor(0.25)),
            run((10, 4, 3, 3), 3, torch.linspace(0.5, 1, 10)[:, None]),
        ],
        "stem.weight": [run((1500, 2), 32, torch.tensor(1e-9))],
    }


@pytest.fixture
def save(tmp_path, packed):
    def save(packed=packed, **description) -> Path:
        state = {
            "body.weight": torch.zeros(16, 4, 3, 3),
            "stem.weight": torch.zeros(1500, 2),
            "head.weight": torch.rand(100, 16),
            "head.bias": torch.rand(100),
        }
        path = tmp_path / "mp.safetensors"
        packing.save(path, state, DESCRIPTION | description, packed)
        return path

    return save


def test_every_run_of_rows_has_its_numbers(save, packed):
    found = inspect(save(layers=LAYERS))
    assert [row["layer"] for row in found["packed"]] == ["stem", "body", "body"]
    stored = [*packed["stem.weight"], *packed["body.weight"]]
    for row, run in zip(found["packed"], stored, strict=True):
        counts = run.codes.unique(return_counts=True)[1]
        assert row["shape"] == list(run.codes.shape)
        assert row["weights"] == run.codes.numel()
        assert (row["bits"], row["width"]) == (run.grid.bits, run.grid.width)
        assert row["levels"] == 2**run.grid.bits - 1
        assert row["zeros"] == (run.codes == 0).sum()
        assert row["entropy"] == pytest.approx(stats.entropy(counts, base=2))
        assert (
            row["bytes"] == -(-run.codes.numel() * run.grid.bits // 8) + 4 * run.grid.step.numel()
        )
        assert row["step"] == pytest.approx(float(run.grid.step.mean()))
    assert [row["error"] for row in found["packed"]] == [0.1199, 0.0448, 0.0448]
    assert [row["silent"] for row in found["packed"]] == [0, 12, 12]
    (head,) = found["floats"]
    assert head == {
        "layer": "head",
        "shape": [100, 16],
        "weights": 1600,
        "reason": "kept in float by the config",
    }


def test_totals_are_those_of_the_file(save, packed):
    path = save()
    totals = inspect(path)["totals"]
    parts = [run for runs in packed.values() for run in runs]
    weights = sum(run.codes.numel() for run in parts)
    assert totals["weights"] == weights
    assert totals["file_bytes"] == path.stat().st_size
    assert totals["float_bytes"] == 4 * (weights + 1600 + 100)
    assert totals["ratio"] == totals["file_bytes"] / totals["float_bytes"]
    assert totals["bits_per_weight"] == 8 * sum(run.nbytes for run in parts) / weights
    saved = sum(
        run.codes.numel()
        * (run.grid.width - stats.entropy(run.codes.unique(return_counts=True)[1], base=2))
        for run in parts
    )
    assert totals["entropy_bytes"] == pytest.approx(path.stat().st_size - saved / 8, abs=2)


def test_text_is_aligned_and_fits_a_terminal(save):
    text = render(inspect(save(layers=LAYERS)))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    start = next(number for number, line in enumerate(lines) if line.startswith("layer "))
    table = lines[start : start + 4]
    assert len({len(line) for line in table}) == 1
    expected = [
        r"stem 1500x2 3\.00 k 32 32 4\.29 G 0\.0% \S+ 12\.0 kB 1e-09 0\.12",
        r"body 6x4x3x3 216 5 5 31 \S+% \S+ 139 B 0\.25 0\.0448",
        r"body 10x4x3x3 360 3 3 7 \S+% \S+ 175 B 0\.75 0\.0448",
    ]
    for pattern, line in zip(expected, table[1:], strict=True):
        assert re.fullmatch(pattern, " ".join(line.split()))


def test_the_script_prints_what_the_library_says(save, capsys):
    path = save(layers=LAYERS)
    assert inspect_checkpoint.main([str(path)]) == 0
    assert capsys.readouterr().out == render(inspect(path))
    assert inspect_checkpoint.main(["--json", str(path), str(path)]) == 0
    assert json.loads(capsys.readouterr().out) == [inspect(path)] * 2


def test_the_script_runs_by_itself_and_says_errors_in_one_line(save, tmp_path):
    path = save()
    path.write_bytes(path.read_bytes()[:-1])
    done = subprocess.run(
        [sys.executable, Path(inspect_checkpoint.__file__), path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and "mp.safetensors is truncated" in line
