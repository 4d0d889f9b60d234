"""The provenance of a study's results: sources, config, seeds, versions, machine, outside files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def record_provenance(
    dataset: str | list[str],
    checkpoints: Sequence[str],
    features: str | list[str],
    logs: Sequence[str],
    provenance: str,
    page: str,
    sources: str,
    networks: Sequence[str],
    config: Mapping[str, Any],
) -> None:
    """Write all of it as one JSON file, the config in its own order, and as a page of the report.

    dataset: the record of the images' origin, empty in a replay. checkpoints: of ``networks``,
    those that began with the weights of others. features: the table, where others' weights made it.
    logs: published ones. sources: digest of the workflow's sources.
    """
    import json

    from laq.reporting import pages
    from laq.utils import downloads, environment
    from laq.utils.files import read_json, write_text

    outside: dict[str, Any] = {"logs": [downloads.of_file(log) for log in logs]}
    if dataset:
        from laq.checkpoints import packing
        from laq.distances.features import origin

        weights = [packing.describe(checkpoint)["weights"] for checkpoint in checkpoints]
        outside["dataset"] = read_json(dataset)
        outside["weights"] = dict(zip(networks, weights, strict=True))
        outside["features"] = origin(features) if features else None
    content = {
        "sources": {"digest": sources, "git": environment.state(Path(__file__).parents[2])},
        "outside": outside,
        "seeds": environment.seeds(config),
        "threads": environment.threads(config),
        "versions": environment.versions(),
        "machine": environment.facts(with_torch=bool(dataset)),
        "config": config,
    }
    write_text(provenance, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    write_text(page, pages.page(f"{config['study']}: provenance", pages.provenance(content)))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, record_provenance)
