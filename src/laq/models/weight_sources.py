"""Files of published weights, on this machine or after a download, and their verification.

torchvision's file names end in the first digits of their sha256. A hub's files and a user's own are
compared with the config's ``sha256``, where it is given.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from laq.utils import downloads
from laq.utils.downloads import impatient
from laq.utils.errors import ConfigError, DataError
from laq.utils.files import expanded, is_file

logger = logging.getLogger(__name__)

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
# Networks that replace the usual normalisation of images by another, within torchvision's code.
TRANSFORMING = ("googlenet", "inception_v3")


def find(settings: Mapping[str, Any], architecture: str) -> tuple[Path, dict[str, Any]]:
    """The file of the weights, verified, and a description of them for a checkpoint.

    source: ``torchvision`` (name; file, a copy of it), ``hub`` (repository, revision) or ``file``
    (file), each with a sha256 where given. The internet is used only with ``download``.

    Raises ``ConfigError`` for weights that do not exist, ``DataError`` for a file that is missing
    or another, or that cannot be downloaded.
    """
    origin = {
        key: settings[key]
        for key in ("source", "name", "repository", "revision")
        if key in settings
    }
    match settings["source"]:
        case "torchvision":
            path, digest = _of_torchvision(settings, architecture)
        case "hub":
            path = _of_hub(settings)
            origin["commit"] = path.parent.name  # of the snapshot, in the hub's cache
            digest = downloads.sha256(path)
        case _:
            path = expanded(settings["file"])
            if not is_file(path):
                raise DataError(f"{path} does not exist: set weights.file to a file of weights")
            digest = downloads.sha256(path)
    if digest != settings.get("sha256", digest):
        raise DataError(
            f"{path} has the sha256 {digest}, not {settings['sha256']} (weights.sha256): it is "
            "damaged or another file; remove it, or name the sum of the right one"
        )
    logger.info("weights from %s (sha256 %s)", path, digest)
    return path, {**origin, "file": path.name, "bytes": path.stat().st_size, "sha256": digest}


def torchvision_weights(architecture: str, name: str) -> Any:
    """torchvision's ``WeightsEnum`` member, with its URL and transforms.

    Raises ``ConfigError`` where it has no such weights.
    """
    from torchvision import models

    try:
        return models.get_model_weights(architecture)[name]
    except (ValueError, KeyError) as error:
        try:
            names = [weights.name for weights in models.get_model_weights(architecture)]
        except ValueError:
            names = []
        raise ConfigError(
            f"torchvision has no weights {name!r} of {architecture!r} (weights.name); "
            f"there are: {', '.join(names) or 'none'}"
        ) from error


def normalisation(settings: Mapping[str, Any], architecture: str) -> dict[str, list[float]]:
    """The mean and std that weights need of their images; empty where the weights do not say."""
    if settings["source"] != "torchvision":
        return {}
    if architecture in TRANSFORMING:
        return {"mean": [0.5] * 3, "std": [0.5] * 3}
    transforms = torchvision_weights(architecture, settings["name"]).transforms()
    return {"mean": list(transforms.mean), "std": list(transforms.std)}


def _of_torchvision(settings: Mapping[str, Any], architecture: str) -> tuple[Path, str]:
    """The weights' file and its sha256: ``file``, or the one in torch's cache.

    A file that is not in the cache is downloaded to it.
    """
    url = torchvision_weights(architecture, settings["name"]).url
    name = url.rsplit("/", 1)[-1]
    match = re.search(r"-([0-9a-f]{8,})\.", name)
    digits = settings.get("sha256", match[1] if match else "")
    if "file" in settings:
        path = expanded(settings["file"])
    else:
        path = Path(torch.hub.get_dir(), "checkpoints", name)
    if not is_file(path):
        if not settings["download"] or "file" in settings:
            raise DataError(
                f"{path} does not exist: download {url} and set weights.file to it"
                + ("" if "file" in settings else ", or set weights.download: true")
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with impatient():
                torch.hub.download_url_to_file(url, str(path), digits or None)
        except (OSError, RuntimeError) as error:  # OSError: URLError; RuntimeError: a wrong sum
            raise DataError(
                f"{url} could not be downloaded ({error}): try again, or fetch it elsewhere and "
                "set weights.file to it"
            ) from error
    digest = downloads.sha256(path)
    if not digest.startswith(digits):
        raise DataError(
            f"{path} is not {name}: its sha256 does not begin with {digits}; remove it and "
            f"download {url} again, or name the sum of yours (weights.sha256)"
        )
    return path, digest


def _of_hub(settings: Mapping[str, Any]) -> Path:
    """The weights' file in the hub's cache on this machine, or there after a download."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    repository, revision = settings["repository"], settings["revision"]
    options = {"revision": revision, "local_files_only": not settings["download"]}
    for name in HUB_FILES:
        try:
            return Path(hf_hub_download(repository, name, **options))
        except LocalEntryNotFoundError as error:  # not here, and the hub was not reached either
            if settings["download"]:
                raise _unreached(repository, revision, error) from error
        except EntryNotFoundError:  # the hub has the repository, and no such file in it
            continue
        except Exception as error:  # of its HTTP library: a refused connection, no such repository
            raise _unreached(repository, revision, error) from error
    if settings["download"]:
        raise DataError(
            f"the hub's {repository} ({revision}) has neither {' nor '.join(HUB_FILES)}: take "
            "another repository or revision, or fetch its weights and use source: file"
        )
    raise DataError(
        f"neither {' nor '.join(HUB_FILES)} of the hub's {repository} ({revision}) is on this "
        "machine: set weights.download: true, or fetch the file and use source: file"
    )


def _unreached(repository: str, revision: str, error: Exception) -> DataError:
    cause = str(error.__cause__ or error).strip().splitlines()
    return DataError(
        f"the hub's {repository} ({revision}) cannot be had "
        f"({cause[0] if cause else type(error).__name__}): check weights.repository, revision and "
        "the connection, or fetch the file elsewhere and use source: file"
    )
