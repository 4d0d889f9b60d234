"""The study of Deep Compression: its networks, and what it says of all of them alike."""

from __future__ import annotations

from collections.abc import Iterator

from laq.config.checks import references
from laq.config.checks.variants import check_shares
from laq.config.deep_plan import OWN
from laq.config.study import Config

_WHY = {
    "classes": "the study is on all classes",
    "coder": "the study measures both coders",
}


def check_study(config: Config) -> Iterator[str]:
    if "deep_compression" not in config:
        return
    section = config["deep_compression"]
    if (chosen := section["label_aware"]["subsets"]) != "all":
        for name in chosen:
            where = "deep_compression.label_aware.subsets"
            yield from references.known(where, name, references.subset_ids(config), "subset")
    for name, settings in section["networks"].items():
        where = f"deep_compression.networks.{name}"
        yield from references.known(where, name, config["networks"], "network")
        yield from check_shares(where, settings)
        for key, default in OWN.items():
            if settings[key] != default:
                yield f"{where}.{key}: {_WHY[key]}; leave it out"
