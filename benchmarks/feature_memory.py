"""Peak memory of writing 50,000 × 2048 float32 features, and of reading them back.

    python benchmarks/feature_memory.py

Features come batch by batch, as from a network. Each half runs in a process of its own; its peak is
the process's own record (VmHWM), with Python's libraries.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1] / "src"
sys.path.insert(0, str(SCRIPTS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--half", choices=["write", "read"])
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    if options.half:
        half(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "features.parquet"
        for name in ("write", "read"):
            sizes = ["--images", str(options.images), "--features", str(options.features)]
            subprocess.run(
                [sys.executable, __file__, *sizes, "--half", name, "--file", str(file)], check=True
            )


def half(options: argparse.Namespace) -> None:
    import numpy as np

    from laq.distances import features

    start = time.perf_counter()
    if options.half == "write":
        generator = np.random.default_rng(0)

        def batches() -> Iterator[np.ndarray]:
            for first in range(0, options.images, 64):
                rows = min(64, options.images - first)
                yield np.maximum(generator.standard_normal((rows, options.features)), 0)

        features.write(options.file, batches(), np.arange(options.images) % 100)
    else:
        matrix, labels = features.read(options.file)
        assert matrix.shape == (options.images, options.features)
        assert len(labels) == options.images
    seconds = time.perf_counter() - start
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    size = options.file.stat().st_size / 2**20
    print(f"{options.half}: {seconds:.1f} s, peak {peak:.0f} MiB, file {size:.0f} MiB")


if __name__ == "__main__":
    main()
