"""Files of a user's own that cannot be used: folders of images, archives, weights, logs; and what
the job that meets them must say. Each is written below the working directory of the job."""

from __future__ import annotations

import io
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from tests import cifar, logs, spoil

Job = dict[str, Any]


class Case(NamedTuple):
    """``write(folder)`` writes the files and returns the settings of the job that meets them."""

    what: str
    write: Callable[[Path], dict[str, Any]]
    says: tuple[str, ...]
    remedy: str


# Folders of images.


def _images(edit: Callable[[Path], Any]) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        for name in ("cat", "dog"):
            (folder / "images" / name).mkdir(parents=True)
            for index in range(4):
                pixels = np.full((9, 9, 3), 40 * index, np.uint8)
                Image.fromarray(pixels).save(folder / "images" / name / f"{index}.png")
        edit(folder / "images")
        return {"kind": "image_folder", "path": "images", "size": 8, "test_fraction": 0.25}

    return write


def _png(width: int, height: int) -> bytes:
    """A PNG of one byte whose header claims ``width`` × ``height`` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + check

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0")), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _emptied(path: Path) -> None:
    for image in (path / "dog").iterdir():
        image.unlink()


def _one_dog(path: Path) -> None:
    for name in ("1.png", "2.png", "3.png"):
        (path / "dog" / name).unlink()


def _one_class(path: Path) -> None:
    _emptied(path)
    (path / "dog").rmdir()


def _halves(path: Path) -> None:
    """A test folder with other classes than the training's."""
    (path.parent / "other").mkdir()
    for part, names in (("train", ("cat", "dog")), ("test", ("cat", "dgo"))):
        for name in names:
            (path.parent / "other" / part / name).mkdir(parents=True)
            content = (path / "cat/0.png").read_bytes()
            (path.parent / "other" / part / name / "0.png").write_bytes(content)
    spoil.shutil.rmtree(path)
    (path.parent / "other").rename(path)


PICTURES = "replace or remove them"
FOLDERS = [
    Case(
        *("no folder", _images(spoil.shutil.rmtree), ("images", "does not exist")),
        "set dataset: path to the folder",
    ),
    Case(
        *("an empty image", _images(lambda p: (p / "cat/0.png").write_bytes(b""))),
        *(("images/cat/0.png: the file is empty",), PICTURES),
    ),
    Case(
        *("half an image", _images(lambda p: spoil.half(p / "cat/1.png")), ("images/cat/1.png",)),
        PICTURES,
    ),
    Case(
        *("text called an image", _images(lambda p: (p / "dog/x.jpg").write_text("no image"))),
        *(("images/dog/x.jpg: ", "cannot identify"), PICTURES),
    ),
    Case(
        *("an empty folder among the classes", _images(lambda p: (p / "a").mkdir())),
        *(("hold no image", "images/a"), "add images to them or remove them"),
    ),
    Case(
        "a picture that claims 40,000 × 40,000 pixels",
        *(_images(lambda p: (p / "cat/bomb.png").write_bytes(_png(40_000, 40_000))),),
        *(("images/cat/bomb.png: ", "more than 178,956,970 pixels"), PICTURES),
    ),
    Case(
        *("a class without images", _images(_emptied), ("images/dog",)),
        "add images to them or remove them",
    ),
    Case(
        *("one class", _images(_one_class), ("1 class folders ['cat']",)),
        "at least 2 are needed",
    ),
    Case(
        *("other classes to test on", _images(_halves), ("dog", "dgo", "only in test")),
        "give both the same folders",
    ),
    Case(
        *("a link to nothing", _images(lambda p: (p / "cat/x.png").symlink_to("none.png"))),
        *(("images/cat/x.png is a broken link",), "mend or remove it"),
    ),
    Case(
        *(
            "a class of one image",
            _images(lambda p: [(p / f"dog/{i}.png").unlink() for i in "123"]),
        ),
        *(("['dog']",), "add images to them or remove them"),
    ),
]


# Files of CIFAR that are not the published ones.


def _cifar(files: Callable[[Path], Any]) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        (folder / "cifar").mkdir()
        files(folder / "cifar")
        return {"kind": "cifar10", "path": "cifar", "download": False}

    return write


def _half_an_archive(folder: Path) -> None:
    cifar.write_archive(folder, "cifar10", 1, 1, seed=0)
    spoil.half(folder / "cifar-10-python.tar.gz")


def _program(folder: Path) -> None:
    (folder / "cifar-10-batches-py").mkdir()
    content = pickle.dumps({"data": spoil._Trap("ran"), "labels": []}, 2)
    (folder / "cifar-10-batches-py/data_batch_1").write_bytes(content)


ANEW = "and fetch https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
ARCHIVES = [
    Case(
        *("no archive", _cifar(lambda folder: None), ("cifar/cifar-10-python.tar.gz",)),
        "set dataset.download: true, or fetch",
    ),
    Case(
        *("half an archive", _cifar(_half_an_archive)),
        *(("cifar/cifar-10-python.tar.gz is not the published archive",), ANEW),
    ),
    Case(
        *("a program in the folder", _cifar(_program)),
        *(("cifar/cifar-10-batches-py", "data_batch_1", "others are not unpickled"), ANEW),
    ),
]


# Weights for the study's own network.


def _weights(
    name: str, change: Callable[[dict[str, torch.Tensor]], Any], **said: Any
) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        from laq.models import networks

        torch.manual_seed(0)
        spec = {"name": "small_resnet", "classes": 10, "channels": 1, "widths": [16, 32, 64]}
        state = networks.create(**spec).state_dict()
        result = change(state)
        content = state if result is None else result
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        elif name.endswith(".safetensors"):
            from safetensors.torch import save_file

            save_file(content, folder / name)
        else:
            torch.save(content, folder / name)
        return {"source": "file", "file": name, **said}

    return write


def _renamed(state: dict[str, torch.Tensor]) -> None:
    state["odd.weight"] = state.pop("stem.0.weight")


_seven_classes = {"head.weight": torch.zeros(7, 64), "head.bias": torch.zeros(7)}


def _with_nan(state: dict[str, torch.Tensor]) -> None:
    state["head.weight"][0, 0] = torch.nan


def _half_of(state: dict[str, torch.Tensor]) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()[: len(file.getvalue()) // 2]


def _trap(state: dict[str, torch.Tensor]) -> Any:
    return {"weight": spoil._Trap("ran")}


SAFE = "give a .safetensors file, or a torch file of tensors alone"
WEIGHTS = [
    Case(*("half a torch file", _weights("w.pth", _half_of), ("w.pth holds no weights",), SAFE)),
    Case(*("an empty torch file", _weights("w.pth", lambda s: b""), ("w.pth holds no",), SAFE)),
    Case(*("a program", _weights("w.pth", _trap), ("w.pth holds no", "would run code"), SAFE)),
    Case(
        *("a bare pickle with a program", _weights("w.bin", lambda s: pickle.dumps(_trap(s)))),
        *(("w.bin holds no weights",), SAFE),
    ),
    Case(
        *("text", _weights("w.safetensors", lambda s: b"no weights at all")),
        *(("w.safetensors is truncated or no safetensors file",), "fetch it again"),
    ),
    Case(
        *("a list", _weights("w.pth", lambda s: [1, 2, 3]), ("w.pth holds a list",)),
        "save state_dict()",
    ),
    Case(
        *("NaN", _weights("w.safetensors", _with_nan), ("w.safetensors: head.weight holds NaN",)),
        "take other weights",
    ),
    Case(
        *("a parameter renamed", _weights("w.safetensors", _renamed)),
        *(("w.safetensors", "stem.0.weight", "odd.weight"), "take stem: standard"),
    ),
    Case(
        *("a layer of another shape",),
        *(_weights("w.pth", lambda s: s.update(_seven_classes)),),
        *(("w.pth", "7 classes, not 10", "head.weight"), "train the network on yours"),
    ),
    Case(
        *("another sum", _weights("w.pth", lambda s: None, sha256="0" * 64)),
        *(("w.pth has the sha256", "weights.sha256"), "name the sum of the right one"),
    ),
    Case(
        *("no file", lambda folder: {"source": "file", "file": "none.pth"}),
        *(("none.pth does not exist",), "set weights.file"),
    ),
]


# Published logs.


def _log(change: spoil.Change) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        rows = [logs.row((1, 2, 3), 2.0), logs.row((4, 5, 6), 3.0), logs.row((7, 8, 9), 4.0)]
        change(logs.write(folder / "log.csv", rows))
        return {"settings": ["4bit"], "test_per_class": 100}

    return write


LOGS = [
    Case(*("no log", _log(spoil.missing), ("log.csv cannot be read",), "No such file")),
    Case(*("an empty log", _log(spoil.empty), ("log.csv is empty",), "give a log")),
    Case(*("a header alone", _log(spoil.header_alone), ("log.csv has a header",), "give a log")),
    Case(
        *("Latin-1", _log(spoil.latin1), ("log.csv is no UTF-8 text",), "save it as CSV in UTF-8")
    ),
    Case(
        *("a column less", _log(spoil.without("Median_KL")), ("log.csv lacks", "Median_KL")),
        "rename or add them",
    ),
    Case(
        *("a column twice", _log(spoil.column_twice("Median_KL")), ("log.csv", "Median_KL")),
        "remove one of each",
    ),
    Case(
        *("a share in percent", _log(spoil.cell(logs.QUANT, "97.5"))),
        *(("log.csv", "line 2", logs.QUANT, "97.5"), "divide its rates by 100"),
    ),
    Case(
        *("indices cut short", _log(spoil.cell("Subset_Inds", "[1, 2"))),
        *(("log.csv", "line 2", "Subset_Inds"), "a list has both [ and ]"),
    ),
    Case(*("a program", _log(spoil.program), ("log.csv is no UTF-8 text",), "save it as CSV")),
]


def dataset_job(settings: dict[str, Any]) -> tuple[Job, dict[str, Any]]:
    """The making of a data set in a folder of its own, and its config."""
    made = {name: f"own/{name}.npz" for name in ("train", "test")}
    made |= {name: f"own/{name}.json" for name in ("classes", "origin")}
    job = _job("make_dataset", {}, made, {"dataset": settings, "seed": 0})
    return job, {"dataset": settings}


def weights_job(settings: dict[str, Any]) -> tuple[Job, dict[str, Any]]:
    """A network of the finished digits study, with weights of one's own."""
    root = "results/digits"
    data = {"train": "train.npz", "test": "test.npz", "classes": "classes.json"}
    taken = {name: f"{root}/dataset/{file}" for name, file in data.items()} | {"published": []}
    made = {"checkpoint": "own/original.safetensors", "history": "own/training.csv"}
    told = {"entry": "own", "weights": settings, "training": None, "seed": 0}
    network = {"name": "small_resnet", "widths": [16, 32, 64]}
    job = _job("train_network", taken, made, told | {"network": network})
    return job, {"networks": {"own": {"weights": settings}}, "device": "cpu"}


def logs_job(settings: dict[str, Any]) -> tuple[Job, dict[str, Any]]:
    """The reading of one log."""
    made = {name: f"own/{name}.csv" for name in ("accuracy", "subsets", "record")}
    return _job("read_logs", {"logs": ["log.csv"]}, made, settings), {}


def _job(rule: str, taken: Any, made: Any, settings: dict[str, Any]) -> Job:
    job = {"rule": rule, "script": f"{rule}.py", "input": taken, "output": made}
    return {**job, "settings": settings}


CASES = [
    *((dataset_job, case) for case in [*FOLDERS, *ARCHIVES]),
    *((weights_job, case) for case in WEIGHTS),
    *((logs_job, case) for case in LOGS),
]
