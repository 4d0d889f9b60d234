"""Weights that others have trained: torchvision's, a model hub's, or a file's.

Nothing is unpickled: torch files are read with ``weights_only=True``. What is downloaded is checked
against a sum: torchvision's from the file's name, a hub's against the config's ``sha256``.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from laq.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

State = dict[str, Tensor]

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
# What training frameworks put around a state, and before its names.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")


def read(settings: Mapping[str, Any], architecture: str) -> State:
    """The weights that ``settings`` (a network's ``weights`` entry) name, by parameter name.

    source: ``torchvision`` (name; file, a copy of it), ``hub`` (repository, revision) or ``file``
    (file), each with a sha256 where given. Only with ``download`` is the network touched.

    Raises ``ConfigError`` for weights that do not exist, ``DataError`` for a file that is missing,
    damaged or no such weights, or that cannot be downloaded.
    """
    match settings["source"]:
        case "torchvision":
            path = torchvision_file(settings, architecture)
        case "hub":
            path = _hub_file(settings)
        case _:
            path = Path(settings["file"]).expanduser()
            if not path.is_file():
                raise DataError(f"{path} does not exist: set weights.file to a file of weights")
    digest = _sha256(path)
    if not digest.startswith(settings.get("sha256", "")):
        raise DataError(
            f"{path} has the sha256 {digest}, not {settings['sha256']} (weights.sha256): it is "
            "damaged or another file; remove it, or name the sum of the right one"
        )
    logger.info("weights from %s (sha256 %s)", path, digest)
    return _checked(_plain(_opened(path), path), path)


def apply(
    settings: Mapping[str, Any], network: nn.Module, architecture: str, new_head: bool
) -> None:
    """``read`` and ``load_into``: put the weights that ``settings`` name into ``network``."""
    state = read(settings, architecture)
    load_into(network, state, f"the weights of {architecture}", new_head)


def torchvision_weights(architecture: str, name: str) -> Any:
    """torchvision's ``WeightsEnum`` member, with its URL and transforms.

    Raises ``ConfigError`` where it has no such weights.
    """
    from torchvision import models

    try:
        return models.get_model_weights(architecture)[name]
    except (ValueError, KeyError) as error:
        try:
            known = [weights.name for weights in models.get_model_weights(architecture)]
        except ValueError:
            known = []
        raise ConfigError(
            f"torchvision has no weights {name!r} of {architecture!r} (weights.name); "
            f"there are: {', '.join(known) or 'none'}"
        ) from error


def torchvision_file(settings: Mapping[str, Any], architecture: str) -> Path:
    """Where torchvision's weights lie: ``file``, torch's cache, or there after a download.

    Its file names end in the first digits of the content's sha256, against which it is checked,
    unless ``sha256`` names another sum.
    """
    url = torchvision_weights(architecture, settings["name"]).url
    name = url.rsplit("/", 1)[-1]
    found = re.search(r"-([0-9a-f]{8,})\.", name)
    digits = settings.get("sha256", found[1] if found else "")
    if "file" in settings:
        path = Path(settings["file"]).expanduser()
    else:
        path = Path(torch.hub.get_dir(), "checkpoints", name)
    if not path.is_file():
        if not settings["download"] or "file" in settings:
            raise DataError(
                f"{path} does not exist: download {url} and set weights.file to it"
                + ("" if "file" in settings else ", or set weights.download: true")
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), digits or None)
        except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong sum the other
            raise DataError(
                f"{url} could not be downloaded ({error}): try again, or fetch it elsewhere and "
                "set weights.file to it"
            ) from error
    if not _sha256(path).startswith(digits):
        raise DataError(
            f"{path} is not {name}: its sha256 does not begin with {digits}; remove it and "
            f"download {url} again, or name the sum of yours (weights.sha256)"
        )
    return path


def normalisation(settings: Mapping[str, Any], architecture: str) -> dict[str, list[float]]:
    """The mean and std that weights ask of their images; nothing where they do not say."""
    if settings["source"] != "torchvision":
        return {}
    if architecture == "googlenet":  # its own transform_input turns the usual ones into these
        return {"mean": [0.5] * 3, "std": [0.5] * 3}
    transforms = torchvision_weights(architecture, settings["name"]).transforms()
    return {"mean": list(transforms.mean), "std": list(transforms.std)}


def load_into(network: nn.Module, state: State, where: str, new_head: bool) -> None:
    """Put ``state`` into ``network``, in place; ``where`` says in errors whose weights they are.

    With ``new_head`` the last linear layer keeps its fresh weights where its shape differs: for
    weights of other classes, to be trained.

    Raises ``DataError`` that names the first parameters which are missing, left over or of another
    shape.
    """
    own = network.state_dict()
    state = _renamed(state, own)
    head = next(reversed([n for n, m in network.named_modules() if isinstance(m, nn.Linear)]), None)
    for name in (f"{head}.weight", f"{head}.bias"):
        if name in state and name in own and state[name].shape != own[name].shape:
            if not new_head:
                raise DataError(
                    f"{where} are for {state[name].shape[0]} classes, not {own[name].shape[0]} "
                    f"({name}): train the network on yours (networks.<id>.training), or take "
                    "weights of these classes"
                )
            state[name] = own[name]
            logger.info("%s is new: the weights are of other classes", name)
    shapes = [
        f"{name} {tuple(state[name].shape)}, here {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    # Old files have no such counters, and no network uses them.
    missing = [name for name in own.keys() - state.keys() if not name.endswith("batches_tracked")]
    for fault, names in (
        ("lack", sorted(missing)),
        ("hold, beside what the network has,", sorted(state.keys() - own.keys())),
        ("have other shapes:", shapes),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise DataError(
                f"{where} {fault} {'; '.join(names[:3])}{more}: they are of another architecture "
                "or stem (networks.<id>.architecture, stem; published ImageNet weights take "
                "stem: standard)"
            )
    network.load_state_dict(state, strict=False)


def _hub_file(settings: Mapping[str, Any]) -> Path:
    """The weights' file in the hub's cache on this machine, or there after a download."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    repository, revision = settings["repository"], settings["revision"]
    for name in HUB_FILES:
        try:
            return Path(
                hf_hub_download(
                    repository,
                    name,
                    revision=revision,
                    local_files_only=not settings["download"],
                )
            )
        except LocalEntryNotFoundError as error:  # an EntryNotFoundError too
            fault: Exception = error
        except EntryNotFoundError as error:
            fault = error
        except (HfHubHTTPError, OSError, ValueError) as error:
            raise DataError(
                f"{name} of the hub's {repository} ({revision}) cannot be had ({error}): check "
                "weights.repository and revision, or fetch the file and use source: file"
            ) from error
    download = "" if settings["download"] else "set weights.download: true, or "
    raise DataError(
        f"neither {' nor '.join(HUB_FILES)} of the hub's {repository} ({revision}) is on this "
        f"machine: {download}fetch the file and use source: file"
    ) from fault


def _opened(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return _opened_safetensors(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds: no archive, cut off, or a pickle with code in it
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise DataError(
            f"{path} holds no weights that can be read safely ({reason}): give a .safetensors "
            "file, or a torch file of tensors alone (torch.save(network.state_dict(), …))"
        ) from error


def _opened_safetensors(path: Path) -> State:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    from laq import metadata, packing

    try:
        with safe_open(path, framework="numpy") as file:
            own = metadata.KEY in (file.metadata() or {})
        # A checkpoint of this workflow: its codes are to be unpacked.
        return packing.read(path).state if own else load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{path} is truncated or no safetensors file ({error}): fetch it again"
        ) from error


def _plain(content: Any, path: Path) -> State:
    """The state alone, without what frameworks wrap it in."""
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise DataError(
            f"{path} holds a {type(content).__name__}, not weights by name: save state_dict()"
        )
    if odd := [name for name, value in content.items() if not isinstance(value, Tensor)]:
        raise DataError(f"{path} holds {odd[0]!r}, which is no tensor: save state_dict() alone")
    state = dict(content)
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _checked(state: State, path: Path) -> State:
    for name, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise DataError(f"{path}: {name} holds NaN or infinite values; take other weights")
    return state


def _renamed(state: State, own: Mapping[str, Tensor]) -> State:
    """Names as in ``own``: those of a wrapped network, of an old DenseNet, without idle heads."""
    if not any(name.startswith("body.") for name in state) and any(
        name.startswith("body.") for name in own
    ):
        state = {f"body.{name}": value for name, value in state.items()}
    # torchvision's DenseNet weights are older than its names (torchvision.models.densenet).
    pattern = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)")
    state = {pattern.sub(r"\1", name): value for name, value in state.items()}
    # GoogLeNet's auxiliary heads only help to train it.
    return {n: v for n, v in state.items() if n in own or not re.match(r"body\.aux\d\.", n)}


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from error
