"""Names in one part of a config that must stand in another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from laq.config.study import Config, members
from laq.data import sources
from laq.data.published import subsets as published
from laq.utils.errors import DataError
from laq.utils.files import is_file


def subset_ids(config: Config) -> list[str]:
    groups = sources.superclasses(config["dataset"])
    definitions = config["subsets"]["definitions"].items()
    return [id for name, definition in definitions for id in members(name, definition, groups)]


def file(where: str, path: str, what: str) -> Iterator[str]:
    """A file that the config names is there, and Snakemake can take it for an input."""
    if not is_file(path):
        yield f"{where}: there is no file {path!r}; give the path of {what}"
    elif set("{}") & set(path):
        yield f"{where}: {path!r} has braces, which Snakemake takes for wildcards; rename the file"


def log(where: str, path: str) -> Iterator[str]:
    """A file that the config names is a published log."""
    faults = list(file(where, path, "a published log"))
    yield from faults
    if not faults:
        try:
            published.read(path)
        except DataError as error:
            yield f"{where}: {error}"


def known(where: str, name: str, names: Iterable[str], what: str) -> Iterator[str]:
    if name not in names:
        yield f"{where}: {name!r} is no {what}; there are: {', '.join(names) or 'none'}"
