"""Peak memory and time of quantizing ResNet-50 on few and on many images of 32 × 32.

Each number of images takes a process of its own: `python benchmarks/image_memory.py 500`. What
does not fit the budget of activations lies in temporary files; where the folder of those is kept
in memory itself (tmpfs), name another in TMPDIR.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import torch
import workload

from laq.ptq import sequential
from laq.ptq.patches import Sampling
from laq.utils import devices

FEW = 500


def compare(many: int, device: str, threads: int) -> None:
    """Print both runs and the ratio of their peaks."""
    peaks = []
    for count in (FEW, many):
        command = [sys.executable, __file__, str(count), "--device", device]
        command += ["--threads", str(threads)]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        used = json.loads(printed.splitlines()[-1])
        peaks.append(used["resident"])
        graphics = f", {used['device'] / 2**30:.2f} GiB on the GPU" if device == "cuda" else ""
        resident = f"{used['resident'] / 2**30:.2f} GiB resident"
        print(f"{count} images: {used['seconds']:.1f} s, {resident}{graphics}", flush=True)
    print(f"resident memory, {many} against {FEW} images: {peaks[1] / peaks[0]:.2f} x")


def measure(count: int, device: torch.device) -> dict[str, Any]:
    """Seconds of one quantization, and the peaks of this process in bytes."""
    network = workload.resnet50().to(device)
    batches = [100] * (count // 100) + [count % 100] * (count % 100 > 0)
    made = (workload.images(size, seed=10 + place) for place, size in enumerate(batches))
    images = torch.cat([(255 * batch).byte() for batch in made])  # as a data set holds them
    start = time.perf_counter()
    sequential.quantize_network(
        network,
        images,
        alphabets=workload.paper_alphabets(4),
        sampling=Sampling("published", 0.25),
    )
    workload.synchronize(device)
    return {
        "seconds": time.perf_counter() - start,
        "resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "device": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=int)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=2, help="of the CPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(json.dumps(measure(options.images, devices.pick(options.device))))


if __name__ == "__main__":
    main()
