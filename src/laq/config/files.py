"""Config files as they were written: keys that stand twice, and the text of a value.

Snakemake's reading shows neither. Of two equal keys it takes the last, and YAML 1.1 makes numbers
of a plain ``010`` (octal) and ``12:30`` (base 60).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from laq.config.schema import key_text

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
