"""Copy what docs/findings.md shows out of the folders of finished studies.

    python benchmarks/findings.py cifar100=results/cifar100_laptop glyphs=results \
        published=results/published
    python workflow/scripts/compare_claims.py docs/findings/verdicts \
        Published=docs/findings/published_claims.csv \
        CIFAR-100=docs/findings/cifar100_claims.csv Glyphs=docs/findings/glyphs_claims.csv

A study that is not given keeps what docs/ has of it. Tables go to docs/findings/, figures to
docs/figures/, each under the name of its study. docs/findings/sources.csv says what made each of
them: the command, the seed, the day, the processor and the commit.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

DOCS = Path(__file__).resolve().parents[1] / "docs"
LARGEST = 300_000  # bytes of a figure

CONFIGS = {
    "cifar100": "config/cifar100_laptop.yaml",
    "glyphs": "config/config.yaml",
    "digits": "config/digits.yaml",
    "published": "config/published.yaml",
}
# Artifacts by study; those that a study has not made are left out, and said.
ARTIFACTS = {
    "cifar100": [
        *("tables/claims.csv", "tables/differences.csv", "tables/subsets.csv"),
        *("tables/replication.csv", "tables/correlations.csv", "tables/conditions.csv"),
        *("figures/fig5.png", "figures/fig6.png", "figures/fig8.png"),
        *("figures/replication.png", "figures/conditions.png"),
        *("zoo/methods.csv", "zoo/pareto.png", "zoo/gain.png"),
    ],
    "glyphs": [
        *("tables/claims.csv", "tables/differences.csv"),
        *("zoo/methods.csv", "zoo/pareto.png", "zoo/gain.png"),
        *("partial_qat/hypotheses.csv", "partial_qat/accuracy.png"),
    ],
    "digits": ["zoo/methods.csv", "zoo/pareto.png", "partial_qat/accuracy.png"],
    "published": ["tables/claims.csv"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("studies", nargs="+", metavar="NAME=FOLDER", help=", ".join(CONFIGS))
    rows: list[dict[str, Any]] = []
    for text in parser.parse_args().studies:
        study, _, folder = text.partition("=")
        if study not in CONFIGS or not Path(folder, "provenance.json").is_file():
            sys.exit(f"{text}: give one of {', '.join(CONFIGS)} = the folder of a finished study")
        rows += copied(study, Path(folder))
    path = DOCS / "findings/sources.csv"
    before = pd.read_csv(path, dtype=str) if path.is_file() else pd.DataFrame(columns=["file"])
    made = pd.DataFrame(rows).astype(str)
    table = pd.concat([before[~before["file"].isin(made["file"])], made]).sort_values("file")
    table.to_csv(path, index=False)


def copied(study: str, root: Path) -> Iterator[dict[str, Any]]:
    """Copy the artifacts of ``study``; what made each of them."""
    facts = json.loads((root / "provenance.json").read_text())
    for name in ARTIFACTS[study]:
        source = root / name
        if not source.is_file():
            print(f"left out, the study has not made it: {source}")
            continue
        is_figure = source.suffix == ".png"
        short = name.removeprefix("tables/").removeprefix("figures/").replace("/", "_")
        copy = DOCS / ("figures" if is_figure else "findings") / f"{study}_{short}"
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(small(source) if is_figure else source.read_bytes())
        machine = facts["machine"]
        instructions = machine.get("torch", {}).get("instructions", "")
        yield {
            "file": copy.relative_to(DOCS),
            "command": f"snakemake --cores 2 {facts['config']['root']}/{name}"
            f" --configfile {CONFIGS[study]}",
            "seed": facts["seeds"]["seed of the study"],
            "day": datetime.fromtimestamp(source.stat().st_mtime, UTC).date(),
            "machine": f"{machine['processor']} {instructions}".strip(),
            "torch": facts["versions"].get("torch", ""),
            "commit": (facts["sources"].get("git") or {}).get("commit", "")[:10],
        }


def small(path: Path) -> bytes:
    """A PNG file of at most ``LARGEST`` bytes: with fewer colours, then with fewer pixels."""
    data = path.read_bytes()
    image = Image.open(path).convert("RGB")
    while len(data) > LARGEST:
        buffer = io.BytesIO()
        image.quantize(128).save(buffer, "PNG", optimize=True)
        data = buffer.getvalue()
        image = image.resize([side * 4 // 5 for side in image.size], Image.Resampling.LANCZOS)
    return data


if __name__ == "__main__":
    main()
