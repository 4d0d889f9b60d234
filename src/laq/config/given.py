"""What YAML and Snakemake made of a value that a config gives, and how to write it instead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from laq.config.files import ConfigFile

_LONGEST = 160  # letters of a mapping that a message repeats


@dataclass(frozen=True)
class Given:
    """Where a config is from: its files, later ones over earlier ones, and over all ``named``.

    named: what the command line gives by ``--config``, as Snakemake reads it.
    """

    files: Sequence[ConfigFile] = ()
    named: Mapping[str, Any] = field(default_factory=dict)

    def twice(self) -> Iterator[str]:
        """A line for each key that stands more than once in a mapping of a file."""
        for file in self.files:
            yield from file.twice()

    def remedy(self, path: Sequence[Any], value: Any, wanted: str) -> str:
        """What a ``value`` at ``path`` was made of, and what to write instead; "" where unknown.

        wanted: the schema's type for it.
        """
        if path and path[0] in self.named and _equal(_at(self.named, path), value):
            return self._on_command_line(path, value, wanted)
        if wanted != "string" or isinstance(value, str | list | Mapping):
            return ""
        found = [written for file in self.files if (written := file.value(path))]
        return _in_file(found[-1], value) if found else ""

    def key_remedy(self, path: Sequence[Any]) -> str:
        """The same for a key that YAML took for something else than text."""
        if isinstance(path[-1], str):
            return ""
        found = [written for file in self.files if (written := file.key(path))]
        return _in_file(found[-1], path[-1]) if found else ""

    def several(self) -> str:
        """The end of a message on keys that no file has, where files were named one by one."""
        if not self.files:
            return ""
        return (
            "; where --configfile stands more than once, Snakemake reads the last alone: name a "
            "file of changes after the config's, --configfile CONFIG FILE"
        )

    def _on_command_line(self, path: Sequence[Any], value: Any, wanted: str) -> str:
        top = path[0]
        if len(path) > 1:
            if not isinstance(value, str) or wanted not in ("integer", "number", "boolean"):
                return ""
            text = _flow(self.named[top])
            return (
                "Snakemake takes all that stands inside a value of --config for text; "
                + _from_file(f"{top}: {text if len(text) <= _LONGEST else '…'}")
            )
        if wanted == "object":
            return (
                f"--config {top}=… takes the place of all that the config has below {top}; "
                + _from_file(f"the keys that differ, below {top}:")
            )
        if value is None:
            return f"--config {top}= gives no value; write one, or leave it out"
        if wanted == "string" and isinstance(value, bool | int | float):
            made = "true or false" if isinstance(value, bool) else "a number"
            return (
                f"Snakemake takes a value of --config that reads like one for {made}, in quotes "
                "too; " + _from_file(f'{top}: "{value}"')
            )
        return ""


def _from_file(text: str) -> str:
    return (
        f"write it into a file of its own ({text}), and name that after the config's: "
        "--configfile CONFIG FILE"
    )


def _in_file(written: Any, value: Any) -> str:
    """Where the text of a value is not what Python prints of it."""
    if not written.text or written.text == str(value):
        return ""
    made = {True: "true", False: "false", None: "no value"}
    shown = made[value] if value is None or isinstance(value, bool) else str(value)
    kind = {int: "the number ", float: "the number "}.get(type(value), "")
    return (
        f"line {written.line} of {written.file} says {written.text}, of which YAML makes "
        f'{kind}{shown}; write "{written.text}", in quotes'
    )


def _at(config: Any, path: Sequence[Any]) -> Any:
    """The value at a path, or an object that nothing equals."""
    for part in path:
        try:
            config = config[part]
        except (KeyError, IndexError, TypeError):
            return object()
    return config


def _equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def _flow(value: Any) -> str:
    """Text from inside a value of ``--config``, as a file would have it in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    text = str(value)
    return text if re.fullmatch(r"[\w.+/-]+", text) else json.dumps(text, ensure_ascii=False)
