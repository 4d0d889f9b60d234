"""Weights of others: files in their true formats, damage, and what does not fit."""

from __future__ import annotations

import functools
import hashlib
import http.server
import pickle
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from laq.checkpoints import packing, pretrained
from laq.models import architectures, networks, weight_sources
from laq.utils.errors import DataError

FILE = {"source": "file"}


@functools.cache
def published(name: str = "resnet18", classes: int = 10) -> nn.Module:
    """A network as its library makes it: what published weights are of."""
    torch.manual_seed(1)
    network = architectures.build(name, classes, 64, "standard").eval()
    for value in network.buffers():
        if value.is_floating_point():  # statistics that no fresh network has
            value.uniform_(0.5, 1.5)
    return network


def saved(state: Any, path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def loaded(path: Path, classes: int = 10, new_head: bool = False, **settings: Any) -> nn.Module:
    spec = {"name": "resnet18", "classes": classes, "stem": "standard", "side": 64}
    network = networks.create(**spec)
    names = [f"class {number}" for number in range(classes)]
    entry = {**FILE, "file": str(path), **settings}
    pretrained.apply(entry, network, spec, names, new_head=new_head)
    return network.eval()


def state_of(settings: dict[str, Any], architecture: str) -> dict[str, torch.Tensor]:
    return pretrained.read(pretrained.find(settings, architecture)[0])


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.bin"])
def test_a_file_of_weights_gives_the_network_they_are_of(name: str, tmp_path: Path) -> None:
    network = loaded(saved(published().state_dict(), tmp_path / name))
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(x), published()((x - 0.5) / 0.25))


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "model.", "net.", ""])
def test_what_frameworks_put_around_a_state_is_taken_off(
    wrapper: str, prefix: str, tmp_path: Path
) -> None:
    state = {f"{prefix}{name}": value for name, value in published().state_dict().items()}
    network = loaded(saved({wrapper: state, "epoch": 5}, tmp_path / "w.pth"))
    assert torch.equal(network.body.conv1.weight, published().conv1.weight)


def test_weights_made_by_this_workflow_are_unpacked(tmp_path: Path) -> None:
    spec = {"name": "resnet18", "classes": 10, "stem": "standard", "side": 64}
    network = networks.create(**spec)
    path = tmp_path / "own.safetensors"
    names = [f"class {number}" for number in range(10)]
    packing.save(path, network.state_dict(), {"network": spec, "classes": names})
    assert torch.equal(loaded(path).body.fc.weight, network.body.fc.weight)
    for changed, says in (
        (
            {"network": {**spec, "mean": [0.1] * 3}},
            r"made with mean \[0.1, 0.1, 0.1\], and .* None",
        ),
        ({"network": {**spec, "stem": "small"}}, "made with stem small, .* has standard"),
        ({"classes": names[::-1]}, "of other classes, or of these in another order"),
    ):
        about = {"network": spec, "classes": names, **changed}
        packing.save(path, network.state_dict(), about)
        with pytest.raises(DataError, match=says):
            loaded(path)


def without(name: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in published().state_dict().items() if key != name}


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (lambda: without("layer1.0.conv1.weight"), r"lack layer1.0.conv1.weight"),
        (lambda: {**without("x"), "extra": torch.ones(1)}, r"beside what the network has, .*extra"),
        (
            lambda: {**without("x"), "conv1.weight": torch.ones(64, 3, 3, 3)},
            r"other shapes: conv1.weight \(64, 3, 3, 3\), here \(64, 3, 7, 7\).*stem",
        ),
        (lambda: {**without("x"), "fc.bias": torch.full((10,), torch.nan)}, "fc.bias holds NaN"),
        (lambda: {"epoch": 5, "arch": "resnet18"}, "'epoch', which is no tensor"),
        (lambda: [1, 2], "holds a list, not weights"),
        (dict, "holds a dict, not weights"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(state: Any, says: str, tmp_path: Path) -> None:
    path = saved(state(), tmp_path / "w.pth")
    with pytest.raises(DataError, match=says) as raised:
        loaded(path)
    assert str(path) in str(raised.value)


class Harmful:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("harmed"),))


@pytest.mark.parametrize(
    "kind", ["code", "module", "cut off", "empty", "text", "safetensors cut off"]
)
def test_a_file_that_cannot_be_read_safely_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ("w.safetensors" if kind.startswith("safetensors") else "w.pth")
    saved(published().state_dict(), path)
    content = path.read_bytes()
    match kind:
        case "code":
            path.write_bytes(pickle.dumps({"conv1.weight": Harmful()}, protocol=2))
        case "module":
            torch.save(published(), path)
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("<html>404</html>")
        case _:
            path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=re.escape(str(path))) as raised:
        loaded(path)
    if kind in ("code", "module"):
        assert "it holds more than tensors, such as a whole module" in str(raised.value)
    assert not (tmp_path / "harmed").exists()


def test_a_missing_file_or_another_sum_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.pth does not exist: set weights.file"):
        loaded(tmp_path / "none.pth")
    path = saved(published().state_dict(), tmp_path / "w.pth")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    loaded(path, sha256=digest)
    with pytest.raises(DataError, match=rf"has the sha256 {digest}, not 0000"):
        loaded(path, sha256="0" * 64)


# torchvision's files, named after their sums


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """A server's folder with weights as torchvision publishes them, and torch's empty cache."""
    folder, cache = tmp_path / "server", tmp_path / "cache"
    folder.mkdir()
    path = saved(published().state_dict(), folder / "w.pth")
    name = f"resnet18-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
    path = path.rename(folder / name)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/{name}"
    monkeypatch.setattr(weight_sources, "torchvision_weights", lambda *_: SimpleNamespace(url=url))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(cache))
    yield path, cache / "checkpoints" / name
    server.shutdown()


def torchvision(**settings: Any) -> dict[str, torch.Tensor]:
    entry = {"source": "torchvision", "name": "DEFAULT", "download": False, **settings}
    return state_of(entry, "resnet18")


def test_weights_are_downloaded_only_when_asked_and_once(served: tuple[Path, Path]) -> None:
    path, cached = served
    with pytest.raises(DataError, match=r"does not exist: download http.*download: true"):
        torchvision()
    state = torchvision(download=True)
    assert torch.equal(state["conv1.weight"], published().conv1.weight)
    path.unlink()  # the cache is enough
    assert torchvision().keys() == state.keys()
    assert torchvision(file=str(cached)).keys() == state.keys()


def test_a_download_that_fails_leaves_nothing_behind(served: tuple[Path, Path]) -> None:
    path, cached = served
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    with pytest.raises(DataError, match=r"could not be downloaded \(invalid hash"):
        torchvision(download=True)
    path.unlink()
    with pytest.raises(DataError, match=r"could not be downloaded .*404"):
        torchvision(download=True)
    assert not list(cached.parent.iterdir())


def test_normalisation_is_what_the_weights_ask() -> None:
    entry = {"source": "torchvision", "name": "DEFAULT"}
    asked = pretrained.normalisation(entry, "resnet50")
    assert asked == {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    assert pretrained.normalisation(FILE, "resnet50") == {}
    # torchvision's own way with these: the usual normalisation, then transform_input.
    x = torch.rand(2, 3, 64, 64)
    usual = [torch.tensor(values).view(3, 1, 1) for values in asked.values()]
    from torchvision.models import GoogLeNet, Inception3

    for name, kind in (("googlenet", GoogLeNet), ("inception_v3", Inception3)):
        transform = kind._transform_input
        expected = transform(SimpleNamespace(transform_input=True), (x - usual[0]) / usual[1])
        found = architectures.Prepare(3, None, None, **pretrained.normalisation(entry, name))(x)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


# A model hub's cache


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of one revision in a cache as huggingface_hub lays it out."""
    from huggingface_hub import constants

    commit = "c0ffee" + "0" * 34
    repository = tmp_path / "models--someone--resnet18_cifar"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return snapshot


def from_hub(**settings: Any) -> dict[str, torch.Tensor]:
    entry = {"source": "hub", "repository": "someone/resnet18_cifar", "revision": "main"}
    return state_of({**entry, "download": False, **settings}, "resnet18")


@pytest.mark.parametrize("name", weight_sources.HUB_FILES)
def test_weights_in_the_hub_s_cache_are_taken_without_the_network(name: str, hub: Path) -> None:
    saved(published().state_dict(), hub / name)
    assert torch.equal(from_hub()["conv1.weight"], published().conv1.weight)


def test_a_checkpoint_says_where_its_weights_are_from(
    hub: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = saved(published().state_dict(), hub / "pytorch_model.bin")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = {"source": "hub", "repository": "someone/resnet18_cifar", "revision": "main"}
    spec = {"name": "resnet18", "classes": 10, "stem": "standard", "side": 64}
    settings = {**entry, "download": False}
    arguments = (networks.create(**spec), spec, [], False)
    assert pretrained.apply(settings, *arguments) == {
        **entry,
        "commit": hub.name,
        "file": "pytorch_model.bin",
        "bytes": path.stat().st_size,
        "sha256": digest,
    }
    assert f"with weights.sha256 {digest} later runs are sure" in caplog.text
    caplog.clear()
    pretrained.apply({**settings, "sha256": digest}, *arguments)
    assert not caplog.text
