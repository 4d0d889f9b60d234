"""What figures 2 and 3 show of Snakemake's rule graph: which rules, and the text of their boxes."""

from __future__ import annotations

import html
import json
import math
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
from matplotlib.ticker import EngFormatter
from pyarrow import parquet
from safetensors import safe_open
from snakemake.io import regex_from_filepattern, strip_wildcard_constraints

from laq.config.recipes import STEPS
from laq.utils import disks
from laq.utils.errors import DataError
from laq.utils.files import AGAIN

# Figure 2 ends where the subsets are listed. All else is the experiment, which figure 3 shows.
LAST = "list_subsets"
_NODE = re.compile(r"^(\d+) \[.*?label=<(.*?)>\]$", re.MULTILINE | re.DOTALL)
_EDGE = re.compile(r"^\s*(\d+) -> (\d+)\s*$", re.MULTILINE)
_NAME = re.compile(r'point-size="18">(.*?)</font>')
_FILE = re.compile(r'face="monospace">(.*?)</font>')


def ask(snakefile: Path, config: Mapping[str, Any]) -> nx.DiGraph:
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


def parse(dot: str) -> nx.DiGraph:
    """Read what ``snakemake --filegraph`` prints.

    Each rule is a node, ``outputs`` its files with wildcards in braces. An edge leads from a rule
    to one that takes its files.

    Raises:
        DataError: it holds no rule.
    """
    names, outputs = {}, {}
    for number, label in _NODE.findall(dot):
        names[number] = html.unescape(_NAME.search(label)[1])
        files = _FILE.findall(label.rsplit("<hr/>", 1)[1])
        outputs[names[number]] = [html.unescape(file).replace("\\\\", "\\") for file in files]
    if not names:
        raise DataError("the printed rule graph holds no rule; is this Snakemake 9.27 or newer?")
    graph = nx.DiGraph()
    graph.add_nodes_from((name, {"outputs": outputs[name]}) for name in sorted(outputs))
    edges = sorted((names[source], names[target]) for source, target in _EDGE.findall(dot))
    graph.add_edges_from(edge for edge in edges if edge[0] != edge[1])
    return graph


def part(
    graph: nx.DiGraph,
    which: str,
    words: Mapping[str, str],
    files: Sequence[str],
    variants: Mapping[str, Mapping[str, Any]],
    sweep: Mapping[str, Any] | None,
) -> nx.DiGraph:
    """The rules of one figure, each with ``before``, whether figure 2 has it too, and its ``text``.

    Args:
        graph: of the study, without rules that are no step.
        which: ``preprocessing``, what the list of subsets needs and what shows it alone; or
            ``experiment``, the rest, and the rules of the preprocessing whose files it takes.
        words: what each rule does.
        files: artifacts whose contents the boxes tell.
        variants: their recipes. sweep: the config's entry, if there is one.
    """
    before = {LAST, *nx.ancestors(graph, LAST)}
    before |= {rule for rule in graph if not graph.succ[rule] and graph.pred[rule].keys() <= before}
    inside = before if which == "preprocessing" else set(graph) - before
    edges = [edge for edge in graph.edges if edge[1] in inside]
    shown = nx.DiGraph()
    shown.add_nodes_from(rule for rule in graph if rule in inside)
    shown.add_edges_from(edges)
    notes = {step.rule: recipes(variants, name) for name, step in STEPS.items()}
    if sweep:
        notes["sweep_calibration"] = [
            ", ".join(f"{key} {value}" for key, value in sweep.items() if value)
        ]
    for rule in shown:
        text = [words.get(rule, ""), *notes.get(rule, [])] if rule in inside else ["from figure 2"]
        text = [*filter(None, text), *outputs(graph.nodes[rule]["outputs"], files)]
        shown.nodes[rule].update(before=rule not in inside, text=text)
    return shown


def outputs(patterns: Sequence[str], files: Sequence[str]) -> list[str]:
    """A line for each output of a rule: its name, and what those of ``files`` hold that it made.

    The two formats of a figure have one line.
    """
    lines = []
    for pattern in patterns:
        regex = re.compile(regex_from_filepattern(pattern))
        held = content([Path(file) for file in files if regex.match(file)])
        name = Path(strip_wildcard_constraints(pattern)).name.replace(".png", ".pdf")
        lines.append(f"→ {name}: {held}".removesuffix(": "))
    return list(dict.fromkeys(lines))


def recipes(variants: Mapping[str, Mapping[str, Any]], step: str) -> list[str]:
    """A line for each variant that ``step`` makes: the step's main settings, and what differs.

    ``variants``: the completed config's.
    """
    made = {name: recipe for name, recipe in variants.items() if step in recipe}
    steps = [recipe[step] for recipe in made.values()]
    further = dict.fromkeys(key for settings in steps for key in settings)
    differing = [key for key in further if len({repr(s.get(key)) for s in steps}) > 1]
    lines = []
    for name, recipe in made.items():
        keys = dict.fromkeys([*STEPS[step].told, *differing])
        phrases = [f"{key} {recipe[step][key]}" for key in keys if key in recipe[step]]
        if recipe.get("parent", "original") != "original":
            phrases.append(f"from {recipe['parent']}")
        if recipe.get("repeats", 1) > 1:
            phrases.append(f"{recipe['repeats']} seeds")
        lines.append(f"{name}: {', '.join(phrases)}")
    return lines


def content(paths: Sequence[Path]) -> str:
    """What files of one kind hold, the least and the most: rows, shapes, classes or sizes.

    Files that do not exist yet are left out; of unknown kinds nothing is said.

    Raises:
        DataError: a file is damaged.
    """
    texts = []
    for path in filter(Path.is_file, paths):
        try:
            texts.append(_content(path))
        # A damaged file raises errors of zipfile, pyarrow, safetensors, json or pandas.
        except Exception as error:
            raise DataError(f"{path} cannot be read ({error}): {AGAIN}") from error
    if not texts:
        return ""
    low, high = min(texts)[1], max(texts)[1]
    text = low if low == high else f"{low} to {high}"
    return f"{text} (×{len(texts):,})" if text and len(texts) > 1 else text


def _content(path: Path) -> tuple[int, str]:
    """A number that sorts files of a kind, and the words; large arrays are not read."""
    match path.suffix:
        case ".npz":
            with zipfile.ZipFile(path) as archive, archive.open("images.npy") as member:
                np.lib.format.read_magic(member)
                shape, _, dtype = np.lib.format.read_array_header_1_0(member)
            return shape[0], f"{' × '.join(f'{size:,}' for size in shape)} {dtype}"
        case ".parquet":  # floats in columns, or in vectors
            with parquet.ParquetFile(path) as file:
                rows = file.metadata.num_rows
                frame = next(file.iter_batches(batch_size=1)).to_pandas()
            entries = [np.asarray(frame[name].iloc[0]) for name in frame]
            floats = [entry for entry in entries if entry.dtype.kind == "f"]
            return rows, f"{rows:,} × {sum(entry.size for entry in floats)} {floats[0].dtype}"
        case ".csv":
            rows = len(pd.read_csv(path, usecols=[0]))
            return rows, f"{rows:,} rows"
        case ".json":
            data = json.loads(path.read_text(encoding="utf-8"))
            count = len(data if isinstance(data, list) else data.get("classes", []))
            return count, f"{count:,} classes" if count else ""
        case ".safetensors":
            size = path.stat().st_size
            with safe_open(path, "np") as file:
                slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            text = EngFormatter("B", places=1)(size)
            if any(".codes." in name for name in slices):
                return size, text
            weights = sum(math.prod(s.get_shape()) for s in slices.values() if "F" in s.get_dtype())
            return size, f"{EngFormatter(places=1)(weights)} weights, {text}"
    return 0, ""
