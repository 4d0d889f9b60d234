"""Quantization-aware training of whole networks, to packed files and after kills."""

from __future__ import annotations

import copy
import threading
import time
from dataclasses import fields
from functools import cache
from pathlib import Path

import psutil
import pytest
import torch
from torch import Tensor, nn

from laq.checkpoints import packing
from laq.config import qat_methods
from laq.config.recipes import qat_effect
from laq.models import networks
from laq.models.networks import predict
from laq.qat import training
from laq.training import FINETUNING, Recipe, resume, train
from laq.training.loop import Split
from laq.utils.devices import seed_everything
from laq.utils.errors import ConfigError, ProcessError
from tests.configs import SCHEMA, compression
from tests.unit.test_training import CPU
from tests.unit.test_training_resume import Killed

torch.set_num_threads(1)

SPEC = {"name": "small_resnet", "classes": 4, "channels": 1, "widths": [6, 12]}
OWN = {"layers", "skip_layers", "classes", "method", "bits", "granularity", "batchnorm"}
OWN |= {"step_rate", "activations", "train"}


def settings(**changes) -> dict:
    """A variant's ``qat`` entry as the workflow hands it over, but for short."""
    keys = SCHEMA["$defs"]["qat"]["properties"]
    defaults = {key: of["default"] for key, of in keys.items() if "default" in of}
    return qat_effect({**defaults, "bits": 2, "epochs": 2, "batch_size": 32, **changes})


def images(n: int, seed: int) -> Split:
    """Four classes, images (n, 1, 8, 8): the quarter that is a little brighter, in noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 4
    pixels = torch.randint(0, 120, (n, 1, 8, 8), generator=generator)
    for image, label in zip(pixels, labels.tolist(), strict=True):
        y, x = 4 * (label // 2), 4 * (label % 2)
        image[0, y : y + 4, x : x + 4] += 28
    return pixels.to(torch.uint8), labels


SPLITS = images(256, 0), images(400, 1)


@cache
def trained() -> nn.Module:
    generator = seed_everything(0)
    network = networks.create(**SPEC)
    train(network, *SPLITS, {"epochs": 12, "learning_rate": 0.1, "shift": 0}, generator, CPU)
    return network


def quantized(state: Path | None = None, **changes):
    network = copy.deepcopy(trained())
    given = settings(**changes)
    return training.quantize(network, *SPLITS, given, seed_everything(1), CPU, state, SPEC)


def top1(network: nn.Module) -> float:
    return float((predict(network, SPLITS[1][0], CPU).argmax(1) == SPLITS[1][1]).double().mean())


def test_settings_are_those_of_the_schema():
    properties = SCHEMA["$defs"]["qat"]["properties"]
    options = {option for method in qat_methods.METHODS.values() for option in method.options}
    recipe = {field.name for field in fields(Recipe)}
    assert properties.keys() == OWN | options | recipe
    assert properties["method"]["enum"] == list(qat_methods.METHODS)
    stated = {key: of["default"] for key, of in properties.items() if key in recipe}
    own = {"learning_rate": 0.001, "schedule": "cosine"}
    assert Recipe.of(FINETUNING, own) == Recipe.of(Recipe(), stated)


@pytest.mark.parametrize("method", qat_methods.METHODS)
@pytest.mark.parametrize(
    "others", [{}, {"granularity": "per_channel", "activations": {"bits": 4}}], ids=str
)
def test_the_file_is_the_network_that_was_trained(tmp_path, monkeypatch, method, others):
    seen: list[Tensor] = []
    detach = training.grid.detach

    def watched(network, names):
        seen.append(predict(network, SPLITS[1][0], CPU))
        return detach(network, names)

    monkeypatch.setattr(training.grid, "detach", watched)
    result, history = quantized(method=method, **others, bits=3, skip_layers=["head"])
    path = tmp_path / "lsq.safetensors"
    description = {"network": SPEC, "transforms": result.transforms}
    packing.save(path, result.network.state_dict(), description, result.packed)
    logits = predict(packing.load(path), SPLITS[1][0], CPU)
    torch.testing.assert_close(logits, seen[0], rtol=1e-5, atol=1e-5)
    assert torch.equal(logits.argmax(1), seen[0].argmax(1))
    assert history[-1]["test_top1"] == top1(packing.load(path))
    held = packing.read(path)
    assert held.packed.keys() == {f"{row.layer}.weight" for row in result.layers if not row.reason}
    for (weight,) in held.packed.values():
        grid = weight.grid
        assert (grid.bits, grid.width, grid.high, grid.scheme) == (3, 3, 3, "packed")


def test_every_weight_is_in_the_layer_report_with_its_reason():
    result, _ = quantized(
        layers=["stem.0", "head", "stages.1.conv1"], skip_layers=["head"], epochs=1
    )
    weights = {n.removesuffix(".weight") for n, p in trained().named_parameters() if p.ndim > 1}
    report = {row.layer: row for row in result.layers}
    assert report.keys() == weights and len(result.layers) == len(weights)
    reasons = {name: row.reason for name, row in report.items()}
    assert reasons.pop("head") == "kept in float by the config"
    assert [name for name, reason in reasons.items() if not reason] == ["stem.0", "stages.1.conv1"]
    others = {reason for reason in reasons.values() if reason}
    assert others == {"not among the layers that the config chooses"}
    assert result.packed.keys() == {"stem.0.weight", "stages.1.conv1.weight"}
    row, (weight,) = report["stages.1.conv1"], result.packed["stages.1.conv1.weight"]
    assert (row.bits, row.levels, row.bytes) == (2, 3, weight.nbytes)
    assert row.zeros == int((weight.codes == 0).sum()) and 0 < row.entropy < 2
    for name, parameter in result.network.named_parameters():
        if parameter.ndim > 1 and f"{name}" not in result.packed:
            assert len(parameter.unique()) > 3, name


REFUSED = {
    "no layer of that name": ({"layers": ["heads"]}, r"called heads \(qat.layers\); there are: st"),
    "nor one to keep": ({"skip_layers": ["stem"]}, r"called stem \(qat.skip_layers\)"),
    "none is left": ({"layers": ["head"], "skip_layers": ["head"]}, "no layer is left to quantize"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_layers_that_there_are_not_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        quantized(**changes)


@pytest.mark.parametrize("frozen", [True, False])
def test_statistics_of_batch_norm_are_frozen_where_that_is_asked(frozen):
    result, _ = quantized(batchnorm="frozen" if frozen else "updated", epochs=1)
    before, after = trained().state_dict(), result.network.state_dict()
    for name, value in before.items():
        if "running" in name or "num_batches" in name:
            assert torch.equal(after[name], value) == frozen, name
        if name.endswith("bn1.bias"):
            assert not torch.equal(after[name], value), "shifts learn either way"
    assert not result.network.training


def test_training_beats_calibration_at_two_bits():
    """By 5 points here, where there is as much training as it took to make the network, and by 3
    without straight-through gradients."""
    from laq.experiments.compression import compress

    calibrated = {}
    for method in ("gpfq", "gptq", "rtn"):
        draws = [torch.Generator().manual_seed(0) for _ in range(2)]
        given = compression(bits=2, method=method)
        calibrated[method] = top1(compress(trained(), SPLITS[0][0], given, *draws).network)
    best = max(calibrated.values())
    assert best < top1(trained())
    for method, margin in (("lsq", 0.05), ("prox", 0.03)):
        result, _ = quantized(method=method, epochs=8, learning_rate=0.01)
        assert top1(result.network) > best + margin, (method, calibrated)


@pytest.mark.parametrize("method", qat_methods.METHODS)
def test_a_killed_training_ends_as_an_undisturbed_one(monkeypatch, tmp_path, method):
    changes = {"method": method, "epochs": 3, "flip": True}
    undisturbed, history = quantized(**changes)
    state, save = resume.beside(tmp_path / "lsq.safetensors"), resume.Keeper.save

    def killed(keeper, content):
        keeper._cost = 0.0
        save(keeper, content)
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(resume.Keeper, "save", killed)
        quantized(state, **changes)
    resumed, rows = quantized(state, **changes)
    assert rows == history
    expected = undisturbed.network.state_dict()
    for name, value in resumed.network.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_two_processes_take_the_step_that_one_takes():
    """But for sums' rounding, which may make a number another code: of what moves, a hundredth."""
    changes = {"activations": {"bits": 4}, "bits": 4, "granularity": "per_channel", "epochs": 1}
    changes |= {"batchnorm": "frozen"}
    changes |= {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0, "batch_size": 256}

    def moved(**own) -> Tensor:
        """Steps of inputs and of weights, and all that stays in float, after one step."""
        result, _ = quantized(**changes, **own)
        kept = {n: x for n, x in result.network.state_dict().items() if n not in result.packed}
        steps = [weight.grid.step for (weight,) in result.packed.values()]
        return torch.cat([x.double().view(-1) for x in (*kept.values(), *steps)])

    start, one = moved(learning_rate=1e-12), moved(learning_rate=0.1)
    two = moved(learning_rate=0.1, processes=2)
    assert (one - start).norm() > 1e-3
    assert (two - one).norm() < 0.01 * (one - start).norm()


@pytest.mark.long
def test_a_process_that_is_lost_fails_a_job_that_goes_on_as_if_there_were_one_process(
    tmp_path, capfd
):
    """Two layers alone, frozen statistics: the rest keeps its bits, and these differ from those of
    one process by a hundredth of what they move by, though one of two was killed on the way."""
    changes = {"layers": ["stages.1.conv2", "head"], "bits": 4, "train": "quantized"}
    changes |= {"batchnorm": "frozen", "epochs": 16, "optimizer": "sgd", "learning_rate": 0.01}
    state = resume.beside(tmp_path / "lsq.safetensors")

    def kill() -> None:
        while not state.exists():
            time.sleep(0.005)
        below = psutil.Process().children(recursive=True)
        workers = [each for each in below if "laq.training.worker" in each.cmdline()]
        workers[-1].kill()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with pytest.raises(ProcessError, match=r"was ended by SIGKILL.*goes on from the last state"):
        quantized(state, processes=2, **changes)
    two, rows = quantized(state, processes=2, **changes)
    assert "going on after epoch" in capfd.readouterr().err
    one, expected = quantized(**changes)
    assert [row["epoch"] for row in rows] == [row["epoch"] for row in expected]
    before, after = trained().state_dict(), one.network.state_dict()
    moved = [name for name, x in after.items() if not torch.equal(x, before[name])]
    assert set(moved) == {"stages.1.conv2.weight", "head.weight", "head.bias"}
    for name, x in two.network.state_dict().items():
        if name not in moved:
            assert torch.equal(x, before[name]), name
            continue
        assert (x - after[name]).norm() < 0.01 * (after[name] - before[name]).norm(), name
