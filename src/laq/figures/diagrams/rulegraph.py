"""The rule graph of a study as Snakemake prints it: rules, their files, what each hands on."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import networkx as nx

from laq.utils import disks
from laq.utils.errors import DataError

# Stands in the printed graph for inputs that a rule names by a function.
_FUNCTION = "<input function>"
_WILDCARD = re.compile(r"\{(\w+)\s*(?:,\s*([^{}]*))?\}")
_NODE = re.compile(r"^(\d+) \[.*?label=<(.*?)>\]$", re.MULTILINE | re.DOTALL)
_EDGE = re.compile(r"^\s*(\d+) -> (\d+)\s*$", re.MULTILINE)
_NAME = re.compile(r'point-size="18">(.*?)</font>')
_FILE = re.compile(r'face="monospace">(.*?)</font>')


@dataclass(frozen=True)
class Rule:
    """A rule with its input and output files; wildcards stand in braces."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Net:
    """Files of one rule that go to the same rules: one arrow with several heads."""

    source: str
    files: tuple[str, ...]
    targets: tuple[str, ...]


@dataclass(frozen=True)
class RuleGraph:
    """Rules by name, and the pairs (source, target) of rules that depend on one another."""

    rules: Mapping[str, Rule]
    edges: frozenset[tuple[str, str]] = field(default_factory=frozenset)

    def before(self, name: str) -> set[str]:
        """A rule and all that it needs; nothing where there is no such rule."""
        graph = self._networkx()
        return {name, *nx.ancestors(graph, name)} if name in graph else set()

    def only_from(self, names: Iterable[str]) -> set[str]:
        """Further rules that need nothing but rules of ``names``, and are needed by none."""
        graph, included = self._networkx(), set(names)
        leaves = {name for name in set(graph) - included if graph.out_degree(name) == 0}
        return {
            name
            for name in leaves
            if (parents := set(graph.predecessors(name))) and parents <= included
        }

    def without(self, names: Iterable[str]) -> RuleGraph:
        """The graph without some of its rules."""
        rules = {name: rule for name, rule in self.rules.items() if name not in set(names)}
        return RuleGraph(rules, frozenset(e for e in self.edges if rules.keys() >= set(e)))

    def nets(self) -> list[Net]:
        """What every rule hands on, files that go to the same rules together.

        Files that no rule asks for are left out.
        """
        nets = []
        for source in self.rules:
            takers: dict[str, list[str]] = {}
            for taker in self.rules:
                if (source, taker) in self.edges and source != taker:
                    for file in self._carried(source, taker):
                        takers.setdefault(file, []).append(taker)
            groups: dict[tuple[str, ...], list[str]] = {}
            for file in self.rules[source].outputs:
                if file in takers:
                    groups.setdefault(tuple(takers[file]), []).append(file)
            nets += [Net(source, tuple(files), targets) for targets, files in groups.items()]
        return nets

    def _carried(self, source: str, taker: str) -> list[str]:
        """The source's outputs that are the taker's inputs.

        The printed graph does not name inputs that a rule gives by a function. They are taken to
        be the source's network where it makes one, and all its outputs otherwise.
        """
        outputs, inputs = self.rules[source].outputs, self.rules[taker].inputs
        matches = [
            output for output in outputs if any(same_file(output, pattern) for pattern in inputs)
        ]
        if matches or _FUNCTION not in inputs:
            return matches
        return [output for output in outputs if output.endswith(".safetensors")] or list(outputs)

    def _networkx(self) -> nx.DiGraph:
        graph = nx.DiGraph()
        graph.add_nodes_from(self.rules)
        graph.add_edges_from(edge for edge in sorted(self.edges) if edge[0] != edge[1])
        return graph


def ask(snakefile: Path, config: Mapping[str, Any]) -> RuleGraph:
    """The rule graph of all artifacts, asked of Snakemake in the working directory.

    Nothing is run, locked or left behind, so that a job can call this. ``config``: the study's,
    as it is after ``--config`` and defaults.

    Raises:
        DataError: Snakemake fails; its output is part of the message.
    """
    with disks.folder(Path(tempfile.gettempdir()), "laq-rulegraph") as folder:
        config_file = folder / "config.json"  # JSON is YAML
        config_file.write_text(json.dumps(config), encoding="utf-8")
        # A dry run writes no log of its own; the user's profiles are ignored.
        process = subprocess.run(
            [
                *(sys.executable, "-m", "snakemake", "--filegraph", "--dryrun", "--nolock"),
                *("--profile", "none", "--workflow-profile", "none", "--cores", "1"),
                *("--quiet", "host", "--snakefile", str(snakefile), f"--configfile={config_file}"),
            ],
            text=True,
            capture_output=True,
            check=False,
        )
    if process.returncode:
        output = (process.stdout + process.stderr).strip()
        raise DataError(f"Snakemake printed no rule graph, but: {output}")
    return parse(process.stdout)


def parse(dot: str) -> RuleGraph:
    """Read what ``snakemake --filegraph`` prints.

    Raises:
        DataError: it holds no rule.
    """
    names, rules = {}, {}
    for number, label in _NODE.findall(dot):
        inputs, outputs = label.rsplit("<hr/>", 1)
        name = html.unescape(_NAME.search(inputs)[1])
        names[number] = name
        rules[name] = Rule(name, _files(inputs), _files(outputs))
    if not rules:
        raise DataError("the printed rule graph holds no rule; is this Snakemake 9.27 or newer?")
    edges = frozenset((names[a], names[b]) for a, b in _EDGE.findall(dot))
    return RuleGraph(dict(sorted(rules.items())), edges)


def _files(label: str) -> tuple[str, ...]:
    return tuple(html.unescape(file).replace("\\\\", "\\") for file in _FILE.findall(label))


def same_file(output: str, asked: str) -> bool:
    """Whether an output's pattern is, or makes, the file that is asked for."""
    return plain(output) == plain(asked) or bool(expression(output).fullmatch(asked))


def plain(pattern: str) -> str:
    """A pattern without the constraints of its wildcards: ``{subset,a|b}`` → ``{subset}``."""
    return _WILDCARD.sub(r"{\1}", pattern)


def expression(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern's files."""
    parts, end = [], 0
    for match in _WILDCARD.finditer(pattern):
        parts += [re.escape(pattern[end : match.start()]), f"(?:{match[2] or '.+'})"]
        end = match.end()
    return re.compile("".join([*parts, re.escape(pattern[end:])]))
