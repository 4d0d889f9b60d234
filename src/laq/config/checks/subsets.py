"""Checks of subsets and superclasses against the data set's classes."""

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

# Names in one part of a config that must exist in another.


def subset_ids(config: Config) -> list[str]:
    groups = sources.superclasses(config["dataset"])
    definitions = config["subsets"]["definitions"].items()
    return [id for name, definition in definitions for id in members(name, definition, groups)]


def file(where: str, path: str, what: str) -> Iterator[str]:
    """Check that a file named in the config exists, and that Snakemake can take it for an input."""
    if not is_file(path):
        yield f"{where}: there is no file {path!r}; give the path of {what}"
    elif set("{}") & set(path):
        yield f"{where}: {path!r} has braces, which Snakemake takes for wildcards; rename the file"


def log(where: str, path: str) -> Iterator[str]:
    """Check that a file named in the config is a published log."""
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

_SHOWN = 5  # how many classes that the data set lacks a message names


def check_superclasses(
    superclasses: Mapping[str, Sequence[str]], class_names: Sequence[str]
) -> Iterator[str]:
    """Check that groups hold the data set's classes, and that their names give different ids."""
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
    """Check that logs with subsets can be read, and have the rows that are asked for."""
    for name, definition in config["subsets"]["definitions"].items():
        if definition["kind"] != "log":
            continue
        prefix = f"subsets.definitions.{name}"
        faults = list(log(f"{prefix}.file", definition["file"]))
        yield from faults
        if not faults:
            last = published.read(definition["file"]).rows[-1].number
            for number in definition["rows"]:
                if number > last:
                    yield f"{prefix}.rows: {number} is no row of the log; it has rows 1 to {last}"
            if not logged(name, definition):
                yield f"{prefix}.rows: these rows copy others; name the first row of each"


def check_subsets(config: Config, class_names: Sequence[str]) -> Iterator[str]:
    section, groups = config["subsets"], sources.superclasses(config["dataset"])
    size, definitions, class_count = section["size"], section["definitions"], len(class_names)
    size_fits = size <= class_count
    if not size_fits and any(
        definition["kind"] not in _LISTED for definition in definitions.values()
    ):
        yield (
            f"subsets.size: {size} is more than the data set's {class_count} classes; "
            f"it must be at least 2 and at most {class_count}"
        )
    owners: dict[str, str] = {}
    names: dict[Any, str] = {}
    for name, definition in definitions.items():
        prefix = f"subsets.definitions.{name}"
        if name in ("subset", "all", "none"):
            yield f"{prefix}: {name} has another meaning in compress.classes; take another id"
        if definition["kind"] == "classes":
            yield from _check_classes(f"{prefix}.classes", definition["classes"], class_names)
        elif definition["kind"] == "log":
            yield from _check_rows(f"{prefix}.file", name, definition, class_names)
        elif definition["kind"] == "superclasses":
            if not groups:
                yield (
                    f"{prefix}.kind: the data set {config['dataset']['kind']} has no superclasses; "
                    "give them as dataset.superclasses: {name: [class, class], …}"
                )
        elif size_fits and "count" in definition:
            yield from _check_count(prefix, definition, size, class_count)
        for member in members(name, definition, groups):
            owner = owners.setdefault(member, name)
            if owner != name:
                yield (
                    f"{prefix}: the subset id {member!r} is made by {owner} too; "
                    "rename one of the two definitions"
                )
        twin = names.setdefault(_identity(definition), name)
        if twin != name:
            hint = ", or give one of them a count" if definition["kind"] in _RANKED else ""
            yield f"{prefix}: makes the same subsets as {twin}; remove one of the two{hint}"


def _check_classes(where: str, names: Sequence[str], known: Sequence[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            if matches := _close(name, known):
                hint = f"did you mean {', '.join(matches)}?"
            else:
                text = ", ".join(known[:10]) + ", …" * (len(known) > 10)
                hint = f"there are {len(known)}: {text}"
            yield f"{where}: {name!r} is no class of the data set; {hint}"


def _check_rows(
    where: str, name: str, definition: Mapping[str, Any], known: Sequence[str]
) -> Iterator[str]:
    """Check that the classes of a log's rows are the data set's, each once."""
    missing: dict[str, list[int]] = {}
    rows = list(logged(name, definition).values())
    for row in rows:
        positions = published.positions(row, known)
        for class_name in (unknown for unknown, index in positions.items() if index is None):
            missing.setdefault(class_name, []).append(row.number)
        indices = [index for index in positions.values() if index is not None]
        for index in sorted({index for index in indices if indices.count(index) > 1}):
            yield f"{where}, row {row.number}: names the class {known[index]!r} twice; mend the row"
    for class_name, numbers in list(missing.items())[:_SHOWN]:
        others = f" and {len(numbers) - 1} more" if len(numbers) > 1 else ""
        yield from _check_classes(f"{where}, row {numbers[0]}{others}", [class_name], known)
    if len(missing) > _SHOWN:
        yield f"{where}: {len(missing) - _SHOWN} more of its classes are none of the data set's"


def _close(name: str, known: Sequence[str]) -> list[str]:
    """Up to three similar names of ``known``. Names that differ in capitals alone come first."""
    folded = [candidate.casefold() for candidate in known]
    matches = difflib.get_close_matches(name.casefold(), dict.fromkeys(folded), 3)
    pairs = list(zip(folded, known, strict=True))
    return [candidate for match in matches for key, candidate in pairs if key == match][:3]


def _check_count(
    where: str, definition: Mapping[str, Any], size: int, classes: int
) -> Iterator[str]:
    """Check that a series has no more members than there are subsets for it."""
    kind, count = definition["kind"], definition["count"]
    total = math.comb(classes, size)
    # The greedy rule gives one subset for each class that it starts from. A series of targets
    # leaves out the first similar and the first dissimilar subset.
    limit = {"random": total, "target": max(0, total - 2)}.get(kind, min(classes, total))
    if count > limit:
        yield (
            f"{where}.count: {count} is too many; there are at most {limit} {kind} subsets "
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
