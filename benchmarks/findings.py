"""Copy what docs/findings.md shows out of the folders of finished studies.

    python benchmarks/findings.py cifar100=results/cifar100_laptop glyphs=results \
        digits=results/digits published=results/published

A study that is not given keeps what docs/ has of it. Tables go to docs/findings/, figures to
docs/figures/, each under the name of its study. docs/findings/sources.csv says what made each of
them: the command, the seed, the day, the processor and the commit.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

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
TABLES = {
    "cifar100": [
        *("claims", "differences", "subsets", "replication", "correlations", "conditions"),
        *("sensitivity",),
    ],
    "glyphs": ["claims", "differences", "zoo/zoo", "zoo/hypotheses"],
    "digits": ["zoo/zoo", "deep/claims", "partial_qat/runs", "partial_qat/hypotheses"],
    "published": ["claims"],
}
FIGURES = {
    "cifar100": ["fig5", "fig6", "fig8", "replication", "conditions"],
    "glyphs": ["fig5", "zoo/pareto", "zoo/label_aware"],
    "digits": ["zoo/pareto", "partial_qat/accuracy"],
    "published": ["fig5"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("studies", nargs="+", metavar="NAME=FOLDER", help=", ".join(CONFIGS))
    rows = []
    for text in parser.parse_args().studies:
        study, _, folder = text.partition("=")
        if study not in CONFIGS or not Path(folder, "provenance.json").is_file():
            sys.exit(
                f"{text}: NAME is one of {', '.join(CONFIGS)}, FOLDER that of a finished study"
            )
        rows += copied(study, Path(folder))
    path = DOCS / "findings/sources.csv"
    before = pd.read_csv(path, dtype=str) if path.is_file() else pd.DataFrame(columns=["file"])
    made = pd.DataFrame(rows).astype(str)
    table = pd.concat([before[~before["file"].isin(made["file"])], made]).sort_values("file")
    table.to_csv(path, index=False)


def copied(study: str, root: Path) -> list[dict[str, object]]:
    """Copy the artifacts of ``study``; return a row for each."""
    facts = json.loads((root / "provenance.json").read_text())
    rows = []
    for names, folder, target, suffix in (
        (TABLES[study], "tables", "findings", ".csv"),
        (FIGURES[study], "figures", "figures", ".png"),
    ):
        for name in names:
            source = root / (f"{name}{suffix}" if "/" in name else f"{folder}/{name}{suffix}")
            if not source.is_file():
                print(f"left out, the study has not made it: {source}")
                continue
            copy = DOCS / target / f"{study}_{name.replace('/', '_')}{suffix}"
            copy.parent.mkdir(exist_ok=True)
            if suffix == ".png":
                copy.write_bytes(small(source))
            else:
                shutil.copyfile(source, copy)
            rows.append(row(copy, source, study, root, facts))
    return rows


def row(copy: Path, source: Path, study: str, root: Path, facts: dict) -> dict[str, object]:
    """What made ``source``."""
    day = datetime.fromtimestamp(source.stat().st_mtime, UTC).date()
    machine = facts["machine"]
    return {
        "file": copy.relative_to(DOCS),
        "command": f"snakemake --cores 2 {root / source.relative_to(root)}"
        f" --configfile {CONFIGS[study]}",
        "seed": facts["seeds"]["seed of the study"],
        "day": day,
        "machine": f"{machine['processor']} {machine['torch']['instructions']}",
        "torch": facts["versions"]["torch"],
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
