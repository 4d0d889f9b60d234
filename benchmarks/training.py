"""An epoch of our training against a plain DataLoader loop: `python benchmarks/training.py`.

The same network, images, optimizer and random shift, in one run: ours with uint8 images on the
device, changed a batch at a time; the other as torch's tutorials have it, a Dataset whose images
torchvision changes one by one, and a DataLoader. Also what an epoch's state costs.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from laq.models import networks
from laq.training import TRAINING, Recipe, loop, resume
from laq.utils import devices

SHIFT = 2


def images(count: int, side: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, side, side), generator=generator)
    return pixels.to(torch.uint8), torch.arange(count) % 100


def built(options: argparse.Namespace) -> nn.Module:
    torch.manual_seed(0)
    return networks.create("small_resnet", 100, channels=3, widths=options.widths)


def ours(options: argparse.Namespace, device: torch.device) -> float:
    """Seconds of the quickest epoch, with an evaluation of two images."""
    recipe = Recipe.of(
        TRAINING,
        {"epochs": options.epochs, "batch_size": options.batch_size, "shift": SHIFT},
    )
    split, tiny = images(options.images, options.side), images(2, options.side)
    generator = torch.Generator().manual_seed(0)
    ends = [time.perf_counter()]

    class Watch(resume.Keeper):
        def load(self, team: Any) -> None:
            ends[0] = time.perf_counter()

        def save(self, content: Any) -> None:
            ends.append(time.perf_counter())

    keeper = Watch(Path(), b"")
    loop.fit(built(options), split, tiny, recipe, generator, device, keeper)
    return min(end - start for start, end in itertools.pairwise(ends))


def plain(options: argparse.Namespace, device: torch.device) -> float:
    """Seconds of a plain loop's quickest epoch."""
    from torchvision.transforms import v2

    pixels, labels = images(options.images, options.side)
    change = v2.Compose(
        [
            v2.RandomCrop(options.side, padding=SHIFT, padding_mode="edge"),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )

    class Images(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(pixels)

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            return change(pixels[index]), labels[index]

    loader = torch.utils.data.DataLoader(
        Images(),
        options.batch_size,
        shuffle=True,
        num_workers=options.workers,
        persistent_workers=options.workers > 0,
    )
    network = built(options).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        network.parameters(), 0.03, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    criterion = nn.CrossEntropyLoss()
    seconds = []
    for _ in range(options.epochs):
        start = time.perf_counter()
        for batch, target in loader:
            loss = criterion(network(batch.to(device)), target.to(device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[:-1])


def state(options: argparse.Namespace) -> tuple[float, int]:
    """Seconds to write a training's state with its momenta, and its bytes."""
    network = built(options)
    training = loop.State(network, TRAINING, 10, torch.Generator(), torch.device("cpu"))
    network(torch.rand(2, 3, options.side, options.side)).sum().backward()
    training.optimizer.step()
    seconds = []
    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = resume.beside(Path(folder) / "original.safetensors")
        for _ in range(5):
            keeper = resume.Keeper(path, bytes(32))
            start = time.perf_counter()
            keeper.save(training.content)
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds), path.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64, 256])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument(
        "--epochs", type=int, default=3, help="the quickest but for the last counts"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of both, in turn")
    parser.add_argument("--workers", type=int, default=0, help="of the DataLoader")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = devices.pick(options.device)
    print(f"{options.images} images of {options.side} × {options.side}, widths {options.widths}")
    # In turn, so that what else the machine does falls on both; the quickest of each counts.
    rounds = [(ours(options, device), plain(options, device)) for _ in range(options.rounds)]
    own, other = (min(times) for times in zip(*rounds, strict=True))
    print(f"laq                {own:8.2f} s an epoch")
    print(f"plain DataLoader   {other:8.2f} s an epoch, {options.workers} workers")
    print(f"ratio              {other / own:8.2f}")
    seconds, size = state(options)
    print(f"state              {1000 * seconds:8.1f} ms, {size / 1e6:.1f} MB, an epoch at most")


if __name__ == "__main__":
    main()
