"""Loading of a config: its defaults and checks, before anything is planned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from laq import data
from laq.config import cautions, checks, replay, schema, study
from laq.config.given import ConfigFile, Given
from laq.data import sources

# A study makes and measures networks; a replay reads published logs. Each has its own keys.
SCHEMAS = {"study": "config.schema.yaml", "replay": "replay.schema.yaml"}


def checked(
    config: Mapping[str, Any],
    schemas: Path,
    named: Mapping[str, Any] | None = None,
    files: Iterable[str | Path] = (),
) -> tuple[dict[str, Any], list[str], data.Survey | None]:
    """The config with its defaults, warnings about it, and the survey of a study's images.

    schemas: folder of the schemas. named: keys and values that the command line gives. files: those
    that the config was read from. Later files take precedence over earlier ones.

    Raises ``LaqError`` that lists all faults, whatever the config holds.
    """
    origin = Given([ConfigFile(file) for file in files], named or {})
    schema.refuse(origin.twice())
    kind = config.get("kind", "study")
    if not isinstance(kind, str) or kind not in SCHEMAS:
        schema.refuse([f"kind: {kind!r} must be one of: {', '.join(SCHEMAS)}"])
    description = yaml.safe_load((schemas / SCHEMAS[kind]).read_text(encoding="utf-8"))
    completed = schema.complete(config, description, origin)
    if kind == "study":
        dataset = completed["dataset"]
        if substitute := sources.instead(dataset):
            replacement = {"kind": substitute, "superclasses": dataset["superclasses"]}
            completed = schema.complete({**config, "dataset": replacement}, description, origin)
        survey = sources.survey(completed["dataset"])
        completed = study.with_composed_names(completed)
        checks.check(completed, survey.classes, survey)
        return completed, list(cautions.of_study(completed, survey, config)), survey
    completed, messages = replay.with_files(completed, origin.named)
    return replay.filled(completed), messages, None
