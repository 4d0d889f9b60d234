"""How YAML and Snakemake read a value of a config, and how to write it instead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from laq.config.schema import key_text

# Config files as they were written: keys that occur twice, and the text of a value.
#
# Snakemake's reader shows neither. It takes the last of two equal keys, and YAML 1.1 reads a plain
# ``010`` (octal) and ``12:30`` (base 60) as numbers.


_MERGE = "tag:yaml.org,2002:merge"  # <<: the mapping's own keys take precedence over its keys


@dataclass(frozen=True)
class Written:
    """A value or key as a file has it: its text, without quotes, and line from 1 on."""

    file: str
    line: int
    text: str


class ConfigFile:
    """The nodes of a YAML or JSON file. A file that is neither, or does not exist, has none."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._loader = yaml.SafeLoader(_text(self.path))
            self._root = self._loader.get_single_node()
        except (OSError, UnicodeDecodeError, yaml.YAMLError):  # Snakemake refuses it
            self._root = None

    def twice(self) -> list[str]:
        """A line for each key that occurs more than once in its mapping, at any depth."""
        messages: list[tuple[int, str]] = []
        stack: list[tuple[yaml.Node | None, tuple[Any, ...]]] = [(self._root, ())]
        visited = set()  # what an alias repeats is reported once
        while stack:
            node, path = stack.pop()
            if id(node) in visited:
                continue
            visited.add(id(node))
            if isinstance(node, yaml.MappingNode):
                lines: dict[Any, list[int]] = {}
                for key, child in node.value:
                    name = self._value(key)
                    if key.tag == _MERGE:
                        stack.append((child, path))
                    else:
                        stack.append((child, (*path, name)))
                        lines.setdefault(name, []).append(key.start_mark.line + 1)
                for name, numbers in lines.items():
                    if len(numbers) > 1:
                        messages.append((numbers[0], self._said((*path, name), numbers)))
            elif isinstance(node, yaml.SequenceNode):
                stack += [(child, (*path, index)) for index, child in enumerate(node.value)]
        return [message for _, message in sorted(messages)]

    def _said(self, path: Sequence[Any], lines: Sequence[int]) -> str:
        text = ", ".join(map(str, dict.fromkeys(lines)))
        return (
            f"{key_text(path)}: stands {len(lines)} times in {self.path}, line {text}; the last "
            "alone would count, so rename or remove the others, or put together what is below them"
        )

    def value(self, path: Sequence[Any]) -> Written | None:
        """The scalar at a path of keys and list indices, if it is written without quotes."""
        node = self._root
        for key in path:
            _, node = self._child(node, key)
        return self._written(node)

    def key(self, path: Sequence[Any]) -> Written | None:
        """The last key of a path, if it is written without quotes."""
        node = self._root
        for key in path[:-1]:
            _, node = self._child(node, key)
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
                mappings = child.value if isinstance(child, yaml.SequenceNode) else [child]
                for mapping in mappings:
                    if (match := self._child(mapping, part))[1] is not None:
                        return match
        return None, None

    def _value(self, key: yaml.Node) -> Any:
        """A key as YAML constructs it, or its text where that is no possible key."""
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
    """A file's text. JSON is YAML except for tabs between its tokens, which become blanks."""
    text = path.read_text(encoding="utf-8")
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text.replace("\t", " ")


_LONGEST = 160  # letters of a mapping that a message repeats


@dataclass(frozen=True)
class Given:
    """The sources of a config: its files and the command line, which takes precedence.

    files: later ones take precedence over earlier ones. named: what the command line gives by
    ``--config``, as Snakemake reads it.
    """

    files: Sequence[ConfigFile] = ()
    named: Mapping[str, Any] = field(default_factory=dict)

    def twice(self) -> Iterator[str]:
        """A line for each key that occurs more than once in a mapping of a file."""
        for file in self.files:
            yield from file.twice()

    def remedy(self, path: Sequence[Any], value: Any, wanted: str) -> str:
        """How the ``value`` at ``path`` was written, and what to write instead; "" where unknown.

        wanted: the schema's type for it.
        """
        if path and path[0] in self.named and _equal(_at(self.named, path), value):
            return self._on_command_line(path, value, wanted)
        if wanted != "string" or isinstance(value, str | list | Mapping):
            return ""
        matches = [written for file in self.files if (written := file.value(path))]
        return _in_file(matches[-1], value) if matches else ""

    def key_remedy(self, path: Sequence[Any]) -> str:
        """``remedy`` for a key that YAML did not read as text."""
        if isinstance(path[-1], str):
            return ""
        matches = [written for file in self.files if (written := file.key(path))]
        return _in_file(matches[-1], path[-1]) if matches else ""

    def several(self) -> str:
        """The end of a message on missing keys, where config files were named one by one."""
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
            kind = "true or false" if isinstance(value, bool) else "a number"
            return (
                f"Snakemake takes a value of --config that reads like one for {kind}, in quotes "
                "too; " + _from_file(f'{top}: "{value}"')
            )
        return ""


def _from_file(text: str) -> str:
    return (
        f"write it into a file of its own ({text}), and name that after the config's: "
        "--configfile CONFIG FILE"
    )


def _in_file(written: Any, value: Any) -> str:
    """A remedy where the text of a value is not what Python prints of it."""
    if not written.text or written.text == str(value):
        return ""
    constants = {True: "true", False: "false", None: "no value"}
    text = constants[value] if value is None or isinstance(value, bool) else str(value)
    kind = {int: "the number ", float: "the number "}.get(type(value), "")
    return (
        f"line {written.line} of {written.file} says {written.text}, of which YAML makes "
        f'{kind}{text}; write "{written.text}", in quotes'
    )


def _at(config: Any, path: Sequence[Any]) -> Any:
    """The value at a path, or an object that nothing equals."""
    for key in path:
        try:
            config = config[key]
        except (KeyError, IndexError, TypeError):
            return object()
    return config


def _equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def _flow(value: Any) -> str:
    """A value from inside one of ``--config``, as a file would write it in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    text = str(value)
    return text if re.fullmatch(r"[\w.+/-]+", text) else json.dumps(text, ensure_ascii=False)
