"""What YAML and Snakemake made of a value that a config gives, and how to write it instead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from laq.config.schema import key_text

# Config files as they were written: keys that stand twice, and the text of a value.
#
# Snakemake's reading shows neither. Of two equal keys it takes the last, and YAML 1.1 makes numbers
# of a plain ``010`` (octal) and ``12:30`` (base 60).


_MERGE = "tag:yaml.org,2002:merge"  # <<, whose keys give way to the mapping's own


@dataclass(frozen=True)
class Written:
    """A value or key as a file has it: its text, without quotes, and line from 1 on."""

    file: str
    line: int
    text: str


class ConfigFile:
    """The nodes of a YAML or JSON file; of one that is neither, or is not there, none."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._loader = yaml.SafeLoader(_text(self.path))
            self._root = self._loader.get_single_node()
        except (OSError, UnicodeDecodeError, yaml.YAMLError):  # Snakemake's to refuse
            self._root = None

    def twice(self) -> list[str]:
        """A line for each key that stands more than once in its mapping, at any depth."""
        found: list[tuple[int, str]] = []
        waiting: list[tuple[yaml.Node | None, tuple[Any, ...]]] = [(self._root, ())]
        seen = set()  # what an alias repeats is said once
        while waiting:
            node, path = waiting.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, yaml.MappingNode):
                lines: dict[Any, list[int]] = {}
                for key, child in node.value:
                    name = self._value(key)
                    if key.tag == _MERGE:
                        waiting.append((child, path))
                    else:
                        waiting.append((child, (*path, name)))
                        lines.setdefault(name, []).append(key.start_mark.line + 1)
                for name, places in lines.items():
                    if len(places) > 1:
                        found.append((places[0], self._said((*path, name), places)))
            elif isinstance(node, yaml.SequenceNode):
                waiting += [(child, (*path, place)) for place, child in enumerate(node.value)]
        return [said for _, said in sorted(found)]

    def _said(self, path: Sequence[Any], lines: Sequence[int]) -> str:
        shown = ", ".join(map(str, dict.fromkeys(lines)))
        return (
            f"{key_text(path)}: stands {len(lines)} times in {self.path}, line {shown}; the last "
            "alone would count, so rename or remove the others, or put together what is below them"
        )

    def value(self, path: Sequence[Any]) -> Written | None:
        """The scalar at a path of keys and places in lists, where it stands without quotes."""
        node = self._root
        for part in path:
            _, node = self._child(node, part)
        return self._written(node)

    def key(self, path: Sequence[Any]) -> Written | None:
        """The last key of a path, where it stands without quotes."""
        node = self._root
        for part in path[:-1]:
            _, node = self._child(node, part)
        return self._written(self._child(node, path[-1])[0])

    def _child(
        self, node: yaml.Node | None, part: Any
    ) -> tuple[yaml.Node | None, yaml.Node | None]:
        """The key and the value below ``part`` of a mapping or list; None where it has none."""
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            return None, node.value[part]
        if not isinstance(node, yaml.MappingNode):
            return None, None
        for key, child in reversed(node.value):
            if key.tag != _MERGE and str(self._value(key)) == str(part):
                return key, child
        for key, child in node.value:
            if key.tag == _MERGE:
                merged = child.value if isinstance(child, yaml.SequenceNode) else [child]
                for each in merged:
                    if (found := self._child(each, part))[1] is not None:
                        return found
        return None, None

    def _value(self, key: yaml.Node) -> Any:
        """What YAML makes of a key; its text where it makes nothing that can be one."""
        try:
            value = self._loader.construct_object(key, deep=True)
            hash(value)
        except (TypeError, ValueError, yaml.YAMLError):
            return str(key.value)
        return value

    def _written(self, node: yaml.Node | None) -> Written | None:
        if not isinstance(node, yaml.ScalarNode) or node.style is not None:
            return None
        return Written(str(self.path), node.start_mark.line + 1, node.value)


def _text(path: Path) -> str:
    """A file's text, of which JSON is YAML but for tabs between its parts."""
    text = path.read_text(encoding="utf-8")
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text.replace("\t", " ")


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
