"""Subsets and superclasses against the data set's classes."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from laq.config.study import Config, identifier, logged, members
from laq.data import sources
from laq.data.published import subsets as published
from laq.utils.errors import DataError
from laq.utils.files import expanded, is_file

# Names in one part of a config that must stand in another.


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


# Kinds of subsets whose series is a ranking: a longer one contains a shorter one.
_RANKED = ("similar", "dissimilar", "random")

# Kinds whose subsets have a size of their own.
_LISTED = ("classes", "superclasses", "log")

_SHOWN = 5  # classes of a log that the data set lacks


def check_superclasses(
    superclasses: Mapping[str, Sequence[str]], class_names: Sequence[str]
) -> Iterator[str]:
    """Groups are of the data set's classes, and their names give different ids."""
    owners: dict[str, str] = {}
    for name, classes in superclasses.items():
        yield from _check_classes(f"dataset.superclasses.{name}", classes, class_names)
        owner = owners.setdefault(identifier(name), name)
        if owner != name:
            yield (
                f"dataset.superclasses.{name}: its subset would have the id of {owner}'s, "
                f"…_{identifier(name)}; rename one of the two"
            )


def check_logs(config: Config) -> Iterator[str]:
    """Logs that subsets come from can be read, and have the rows that are asked for."""
    for name, definition in config["subsets"]["definitions"].items():
        if definition["kind"] != "log":
            continue
        where = f"subsets.definitions.{name}"
        faults = list(log(f"{where}.file", definition["file"]))
        yield from faults
        if not faults:
            last = published.read(definition["file"]).rows[-1].number
            for number in definition["rows"]:
                if number > last:
                    yield f"{where}.rows: {number} is no row of the log; it has rows 1 to {last}"
            if not logged(name, definition):
                yield f"{where}.rows: these rows copy others; name the first row of each"


def check_subsets(config: Config, class_names: Sequence[str]) -> Iterator[str]:
    subsets, groups = config["subsets"], sources.superclasses(config["dataset"])
    size, definitions, classes = subsets["size"], subsets["definitions"], len(class_names)
    fits = size <= classes
    if not fits and any(definition["kind"] not in _LISTED for definition in definitions.values()):
        yield (
            f"subsets.size: {size} is more than the data set's {classes} classes; "
            f"it must be at least 2 and at most {classes}"
        )
    owners: dict[str, str] = {}
    first: dict[Any, str] = {}
    for name, definition in definitions.items():
        where = f"subsets.definitions.{name}"
        if name in ("subset", "all", "none"):
            yield f"{where}: {name} has another meaning in compress.classes; take another id"
        if definition["kind"] == "classes":
            yield from _check_classes(f"{where}.classes", definition["classes"], class_names)
        elif definition["kind"] == "log":
            yield from _check_rows(f"{where}.file", name, definition, class_names)
        elif definition["kind"] == "superclasses":
            if not groups:
                yield (
                    f"{where}.kind: the data set {config['dataset']['kind']} has no superclasses; "
                    "give them as dataset.superclasses: {name: [class, class], …}"
                )
        elif fits and "count" in definition:
            yield from _check_count(where, definition, size, classes)
        for member in members(name, definition, groups):
            owner = owners.setdefault(member, name)
            if owner != name:
                yield (
                    f"{where}: the subset id {member!r} is made by {owner} too; "
                    "rename one of the two definitions"
                )
        twin = first.setdefault(_identity(definition), name)
        if twin != name:
            more = ", or give one of them a count" if definition["kind"] in _RANKED else ""
            yield f"{where}: makes the same subsets as {twin}; remove one of the two{more}"


def _check_classes(where: str, names: Sequence[str], known: Sequence[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            if close := _close(name, known):
                hint = f"did you mean {', '.join(close)}?"
            else:
                shown = ", ".join(known[:10]) + ", …" * (len(known) > 10)
                hint = f"there are {len(known)}: {shown}"
            yield f"{where}: {name!r} is no class of the data set; {hint}"


def _check_rows(
    where: str, name: str, definition: Mapping[str, Any], known: Sequence[str]
) -> Iterator[str]:
    """Every class of a log's rows is one of the data set's, and no two are the same one."""
    lacking: dict[str, list[int]] = {}
    rows = list(logged(name, definition).values())
    for row in rows:
        found = published.positions(row, known)
        for class_name in (each for each, place in found.items() if place is None):
            lacking.setdefault(class_name, []).append(row.number)
        there = [place for place in found.values() if place is not None]
        for place in sorted({place for place in there if there.count(place) > 1}):
            yield f"{where}, row {row.number}: names the class {known[place]!r} twice; mend the row"
    for class_name, numbers in list(lacking.items())[:_SHOWN]:
        more = f" and {len(numbers) - 1} more" if len(numbers) > 1 else ""
        yield from _check_classes(f"{where}, row {numbers[0]}{more}", [class_name], known)
    if len(lacking) > _SHOWN:
        yield f"{where}: {len(lacking) - _SHOWN} more of its classes are none of the data set's"


def _close(name: str, known: Sequence[str]) -> list[str]:
    """Up to three of ``known``; first those that differ from ``name`` in capitals alone."""
    folded = [other.casefold() for other in known]
    near = difflib.get_close_matches(name.casefold(), dict.fromkeys(folded), 3)
    pairs = list(zip(folded, known, strict=True))
    return [other for match in near for plain, other in pairs if plain == match][:3]


def _check_count(
    where: str, definition: Mapping[str, Any], size: int, classes: int
) -> Iterator[str]:
    """A series cannot have more members than there are subsets for it."""
    kind, count = definition["kind"], definition["count"]
    every = math.comb(classes, size)
    # The greedy rule gives one subset a class it starts from; a series of targets leaves the
    # first similar and the first dissimilar subset out.
    most = {"random": every, "target": max(0, every - 2)}.get(kind, min(classes, every))
    if count > most:
        yield (
            f"{where}.count: {count} is too many; there are at most {most} {kind} subsets "
            f"of {size} from {classes} classes"
        )


def _identity(definition: Mapping[str, Any]) -> tuple[Any, ...]:
    """Equal for definitions that make the same subsets, or a part of them."""
    kind = definition["kind"]
    if kind == "classes":
        return kind, frozenset(definition["classes"])
    if kind == "log":
        return kind, str(expanded(definition["file"])), frozenset(definition["rows"])
    if kind == "target":
        return kind, definition.get("count"), definition.get("median")
    return (kind,)
