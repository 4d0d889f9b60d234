"""What no schema can check of a completed config: references, sizes, duplicates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from laq import data
from laq.config.checks import networks, shown, studies, subsets, variants
from laq.config.schema import refuse
from laq.config.study import Config

# Folders that hold the workflow itself.
_SOURCES = ("workflow", "config", "envs", "profiles", "tests", "docs", "benchmarks")

LONGEST = 200  # letters of a folder's name; file systems take some 250 bytes


def check(config: Config, class_names: Sequence[str], survey: data.Survey | None = None) -> None:
    """Check what no schema can: references, sizes against the data set, duplicates.

    ``class_names``: the data set's classes, in the order of their indices. ``survey``: of its
    images, where they are to be counted.

    Raises:
        ConfigError: one line for each fault, naming the key, the value and what is allowed.
    """
    # The other checks use the ids of subsets, which come from the logs.
    refuse([*subsets.check_logs(config)])
    refuse(
        [
            *check_root(config["root"]),
            *networks.check_networks(config["networks"]),
            *networks.check_features(config),
            *(shown.check_images(config, survey) if survey else ()),
            *subsets.check_superclasses(config["dataset"].get("superclasses", {}), class_names),
            *subsets.check_subsets(config, class_names),
            *networks.check_training(config),
            *variants.check_variants(config["variants"]),
            *variants.check_deep(config["variants"]),
            *variants.check_calibration(config),
            *shown.check_figures(config),
            *shown.check_sweep(config),
            *shown.check_claims(config),
            *shown.check_similarity(config),
            *shown.check_replication(config),
            *shown.check_deploy(config),
            *studies.check_zoo(config),
            *studies.check_study(config),
            *studies.check_partial(config),
        ]
    )


def check_root(root: str) -> Iterator[str]:
    """Check that ``root`` is no folder of the workflow, nor a link to one, and free of files."""
    cwd, path = Path.cwd(), Path(root)
    if max(map(len, path.parts)) > LONGEST:
        yield f"root: a part of it is longer than {LONGEST} letters; take a shorter one"
        return
    target = (cwd / path).resolve()
    sources = [(cwd / name).resolve() for name in _SOURCES]
    if path.parts[0] in _SOURCES or any(target.is_relative_to(folder) for folder in sources):
        yield f"root: {root!r} is a folder of the workflow's own; take one such as results/{root}"
        return
    for parent in (path, *path.parents):
        if parent.exists() and not parent.is_dir():
            yield f"root: {str(parent)!r} is a file; take a folder, or a name that is not there yet"
        elif parent.is_symlink() and not parent.exists():
            yield f"root: {str(parent)!r} is a link to nothing; make the folder that it names"
