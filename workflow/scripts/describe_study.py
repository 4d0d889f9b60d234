"""What a reader needs to repeat a study: its whole config, versions, seeds."""

from collections.abc import Mapping
from typing import Any


def describe_study(study: str, config: Mapping[str, Any]) -> None:
    """Write all of it as one JSON file, the config in its own order, without dates."""
    import json

    from laq.files import write_text
    from laq.software import seeds, versions

    content = {"config": config, "versions": versions(), "seeds": seeds(config)}
    write_text(study, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if "snakemake" in globals():
    import job

    job.run(snakemake, describe_study)
