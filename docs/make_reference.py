"""Make the reference pages from what they describe.

python docs/make_reference.py [--check]

docs/reference/config.md comes from the schemas in workflow/schemas, artifacts.md from
docs/artifacts.yaml, api.md from docstrings, and the drawing in docs/architecture.md from imports.
With --check nothing is written, and the exit code says whether a page is out of date.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import networkx as nx
import yaml

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "src/laq"
SCHEMAS = ROOT / "workflow/schemas"
NOTICE = "<!-- Made by docs/make_reference.py; edit {source} instead. -->"

# What docs/reference/api.md shows, beside what ``laq`` itself offers: module and name.
ALSO_OFFERED = (
    ("laq.checkpoints.packing", "describe"),
    ("laq.checkpoints.packing", "classes"),
    ("laq.checkpoints.inference", "load"),
    ("laq.checkpoints.inference", "simulated"),
    ("laq.onnx.export", "export"),
)
# Classes of results and their module, shown after the function that returns them.
RESULTS = {"quantize": "Quantized", "compare": "Comparison"}


def pages() -> dict[Path, str]:
    """The text of every generated page."""
    reference = ROOT / "docs/reference"
    return {
        reference / "config.md": config_page(),
        reference / "artifacts.md": artifacts_page(),
        reference / "api.md": api_page(),
        ROOT / "docs/architecture.md": architecture_page(),
    }


def stale() -> list[str]:
    """Pages that are not what ``pages`` gives, relative to the project."""
    return [
        path.relative_to(ROOT).as_posix()
        for path, text in pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main() -> int:
    outdated = stale()
    if "--check" in sys.argv[1:]:
        for name in outdated:
            print(f"{name} is out of date: python docs/make_reference.py", file=sys.stderr)
        return bool(outdated)
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


def _item(text: str, level: int = 0) -> str:
    """A list item, wrapped."""
    indent = "  " * level
    return textwrap.fill(
        text,
        100,
        initial_indent=f"{indent}- ",
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _paragraph(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


# Config keys


class _Schema:
    """A schema and its references."""

    def __init__(self, name: str) -> None:
        self.root = yaml.safe_load((SCHEMAS / name).read_text(encoding="utf-8"))

    def resolved(self, node: Any) -> dict[str, Any]:
        if not isinstance(node, dict) or "$ref" not in node:
            return node if isinstance(node, dict) else {}
        target = self.root["$defs"][node["$ref"].removeprefix("#/$defs/")]
        return {**target, **{key: value for key, value in node.items() if key != "$ref"}}

    def heading(self, reference: str) -> str:
        """The section of what a reference leads to, where it has one."""
        return _HEADINGS.get(reference.removeprefix("#/$defs/"), "")


def config_page() -> str:
    """Every key of a config, from the schemas."""
    study, replay = _Schema("config.schema.yaml"), _Schema("replay.schema.yaml")
    parts = [
        "# Config keys",
        NOTICE.format(source="workflow/schemas"),
        _paragraph(
            "Keys with their defaults, and in parentheses *required*, or what is allowed; (0, 1] "
            "excludes 0. A key without default may be left out. "
            "[config/README.md](../../config/README.md) says how a config is written."
        ),
        *_section(study, "study", "The study", study.root, set()),
        *_section(replay, "replay", "Replay of published logs", replay.root, set()),
    ]
    return "\n\n".join(parts) + "\n"


# Headings of definitions that several keys refer to; other mappings are called by their path.
_HEADINGS = {
    "network": "networks.&lt;id&gt;",
    "subset": "subsets.definitions.&lt;id&gt;",
    "variant": "variants.&lt;name&gt;",
    **{name: name for name in ("weights", "training", "finetune", "compress", "qat", "deep")},
    "zoo_method": "",  # a variant's keys
}
# Trainings, and what has keys of theirs too beside ``training``: these are not repeated.
_TRAININGS = {
    "finetune": "training",
    "qat": "training",
    "deep": "training",
    "partial_training": "qat",
}


def _section(
    schema: _Schema, name: str, title: str, node: Mapping[str, Any], seen: set[str]
) -> Iterator[str]:
    """The heading, notes and keys of a mapping, then the mappings below it."""
    yield f"## {title}"
    if "notes" in node:
        yield _notes(node["notes"])
    families = {child["title"]: child for child in node.get("patternProperties", {}).values()}
    properties = {**node.get("properties", {}), **families}
    own = {key: child for key, child in properties.items() if child is not True}
    branches = [branch["then"].get("properties", {}) for branch in node.get("allOf", ())]
    if len(branches) > 1:  # what all have stands once
        shared = [key for key in branches[0] if all(key in branch for branch in branches)]
        own |= {key: branches[0][key] for key in shared if branches[0][key] is not True}
    if name in _TRAININGS:
        text, own = _training(schema, own, _TRAININGS[name])
        properties = own
        yield text
    path = {"study": "", "replay": "replay"}.get(name, title)
    yield from _rows(schema, own, node, path, seen)
    for branch in node.get("allOf", ()):
        yield from _branch(schema, branch, own, path, seen)
    for key, child in [pair for group in (properties, *branches) for pair in group.items()]:
        for identity, heading, inner in _mappings(schema, key, child, path):
            if heading and identity not in seen:
                seen.add(identity)
                yield from _section(schema, identity, heading, inner, seen)


def _training(schema: _Schema, keys: Mapping[str, Any], further: str) -> tuple[str, dict[str, Any]]:
    """A sentence on keys that mean the same in ``training`` or ``further``, and the others."""
    training = schema.root["$defs"]["training"]["properties"]
    base = {**schema.root["$defs"][further]["properties"], **training}
    known = [key for key in keys if key in base and _alike(keys[key], base[key])]
    defaults = [
        f"`{key}: {_default(keys[key]['default'])}`"
        for key in known
        if keys[key]["default"] != base[key]["default"]
    ]
    text = f"The keys of [training](#training), by default {', '.join(defaults)}"
    if shared := [f"`{key}`" for key in known if key not in training]:
        text += f"; and {', '.join(shared)} of [{further}](#{further})"
    own = {key: child for key, child in keys.items() if key not in known}
    return _paragraph(text + (", and:" if own else ".")), own


def _notes(text: str) -> str:
    """Notes, their paragraphs wrapped; blocks of code stay as they are."""
    parts = re.split(r"(^```.*?^```$)", text.strip(), flags=re.M | re.S)
    blocks = [
        block
        if block.startswith("```")
        else "\n\n".join(map(_paragraph, block.strip().split("\n\n")))
        for block in parts
        if block.strip()
    ]
    return "\n\n".join(blocks)


def _alike(child: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two keys mean the same, whatever their defaults."""
    described = child["description"] == other["description"]
    return described and child.get("notes") in (None, other.get("notes"))


def _rows(
    schema: _Schema,
    keys: Mapping[str, Any],
    parent: Mapping[str, Any],
    path: str,
    seen: set[str],
) -> Iterator[str]:
    """The list of a mapping's keys; what was explained before is not explained again."""
    rows: list[str] = []
    above: list[str] = []
    before = None
    for key, child in keys.items():
        reference = child.get("$ref", "")
        if reference and f"{path}{reference}" in seen and reference != before:
            above.append(_name(schema, key, child))
            continue
        if reference and reference == before and not schema.heading(reference):
            first, _, rest = " ".join(rows[-1].split()).removeprefix("- ").partition("**: ")
            rows[-1] = _item(f"{first}**, **`{key}`**: {rest}")
        else:
            rows.append(_key(schema, key, child, parent, path))
            seen.add(f"{path}{reference}")
        before = reference
    if above:
        rows.append(_item(f"{', '.join(above)}: as above"))
    if rows:
        yield "\n".join(rows)


def _branch(
    schema: _Schema,
    branch: Mapping[str, Any],
    known: Mapping[str, Any],
    path: str,
    seen: set[str],
) -> Iterator[str]:
    """Keys that a mapping has under a condition, without those that are ``known``."""
    then = branch["then"]
    named = {
        key: child
        for key, child in then.get("properties", {}).items()
        if child is not True and set(child) - {"default", "description"}
        if child != known.get(key)
    }
    if named:
        yield f"With {_condition(branch['if'])}:"
        yield from _rows(schema, named, then, path, seen)


def _condition(node: Mapping[str, Any]) -> str:
    """A condition of a branch in words."""
    words = []
    for key, rule in node.get("properties", {}).items():
        if "not" in rule:
            values = rule["not"].get("enum", [rule["not"].get("const")])
            words.append(f"any other `{key}` than {_either(values)}")
        elif "properties" in rule:
            words.append(f"`{key}` whose {_condition(rule)}")
        else:
            words.append(f"`{key}` {_either(rule.get('enum', [rule.get('const')]))}")
    return ", ".join(words)


def _either(values: list[Any]) -> str:
    *others, last = (f"`{value}`" for value in values)
    return f"{', '.join(others)} or {last}" if others else last


def _mappings(
    schema: _Schema, key: str, child: Any, path: str
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Mappings with keys of their own in a key's value: identity, heading, schema."""
    if not isinstance(child, dict):
        return
    inner = schema.resolved(child)
    place = f"{path}.{key}".removeprefix(".")
    for node, default in ((child, place), (inner.get("additionalProperties"), f"{place}.*")):
        target = schema.resolved(node)
        if "properties" in target or "allOf" in target:
            reference = node.get("$ref", "").removeprefix("#/$defs/")
            yield reference or default, _HEADINGS.get(reference, default), target


def _name(schema: _Schema, key: str, child: Any) -> str:
    """A key with its default, as in a config."""
    node = schema.resolved(child)
    return f"**`{key}: {_default(node['default'])}`**" if "default" in node else f"**`{key}`**"


def _key(schema: _Schema, key: str, child: Any, parent: Mapping[str, Any], path: str) -> str:
    """A key as a list item: default, what is allowed, meaning, and what its values mean."""
    node = schema.resolved(child)
    facts = ["required"] if key in parent.get("required", ()) else []
    if allowed := _allowed(schema, node):
        facts.append(allowed)
    headings = [title for _, title, _ in _mappings(schema, key, child, path) if title]
    meaning = node.get("description", "")
    if "choices" in node:  # which say what follows
        meaning = meaning.partition(";")[0]
    if headings:
        meaning = f"[{meaning}](#{_anchor(headings[0])})"
    fact = "; ".join(facts)
    if facts and not (len(facts) == 1 and fact[0] in "[(" and fact[-1] in "])"):  # an interval
        fact = f"({fact})"
    text = " ".join(filter(None, [_name(schema, key, child), fact])) + f": {meaning}"
    section = "properties" in node or "allOf" in node  # which has the notes
    if "notes" in node and not section and "\n" not in node["notes"]:
        text += f". {node['notes']}"
    choices = node.get("choices", {})
    rows = [_item(f"`{value}`: {meaning}", 1) for value, meaning in choices.items()]
    return "\n".join([_item(text), *rows])


def _anchor(heading: str) -> str:
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w -]", "", heading.replace("&lt;", "").replace("&gt;", "")).lower()


def _default(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).strip('"')


def _allowed(schema: _Schema, node: Mapping[str, Any]) -> str:
    """What a value may be, in words; nothing where the description says it."""
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        if "choices" in node or len(node["enum"]) == 1:
            return ""
        return ", ".join(f"`{'null' if v is None else v}`" for v in node["enum"])
    types = node.get("type", ())
    types = [types] if isinstance(types, str) else list(types)
    words = []
    if limits := _limits(node):
        words.append(limits)
    if "array" in types:
        items = schema.resolved(node.get("items", {}))
        choices = [] if node.get("default") == items.get("enum") else items.get("enum", ())
        inner = _limits(items) or ", ".join(f"`{value}`" for value in choices)
        least, most = node.get("minItems", 0), node.get("maxItems")
        if least and least == most:
            size = f"list of {least}"
        elif least > 1:
            size = f"list of {least} or more"
        elif most:
            size = f"list of up to {most}"
        else:
            size = "list"
        words.append(f"{size}, each {inner}" if inner else size)
    if "null" in types and node.get("default", 0) is not None:
        words.append("`null`")
    return ", or ".join(words)


def _limits(node: Mapping[str, Any]) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    if low is None and above is None:
        return "" if high is None else f"at most {high}"
    if high is None and below is None:
        return f"above {above}" if low is None else f"from {low}"
    if above is None and below is None:
        if 0 <= low <= 2 and high >= 1000:  # only against slips of the pen
            return ""
        return f"{low} to {high}" if low < 0 else f"{low}–{high}"
    opening = f"[{low}" if above is None else f"({above}"
    return f"{opening}, {high}]" if below is None else f"{opening}, {below})"


# Artifacts and columns


def artifacts_page() -> str:
    """Every artifact and column, from docs/artifacts.yaml."""
    table = yaml.safe_load((ROOT / "docs/artifacts.yaml").read_text(encoding="utf-8"))
    parts = [
        "# Artifacts and columns",
        NOTICE.format(source="docs/artifacts.yaml"),
        _paragraph(
            "Paths below the study's `root`, with the rule that makes them. "
            "[results/README.md](../../results/README.md) says when, "
            "[checkpoints](checkpoints.md) what a checkpoint holds."
        ),
        "## Files",
        "\n".join(
            _item(f"{_names(paths)}: {entry['content']} ({_names(entry['rule'])})")
            for paths, entry in table["artifacts"].items()
        ),
        "## Columns",
        _paragraph(table["columns"]),
    ]
    known = {
        path: {
            name
            for names in (*entry.get("columns", ()), *entry.get("as", {}).values())
            for name in names.split(", ")
        }
        for paths, entry in table["tables"].items()
        for path in paths.split(", ")
    }
    for paths, entry in table["tables"].items():
        parts.append(f"### {paths.split(', ')[0]}")
        others = paths.split(", ")[1:]
        likewise = [f"Likewise {_names(', '.join(others))}."] if others else []
        if about := " ".join([*likewise, entry.get("about", "")]).strip():
            parts.append(_paragraph(about))
        shared = [
            f"`{other}`: {'all' if known.get(other) == set(names.split(', ')) else _names(names)}"
            for other, names in entry.get("as", {}).items()
        ]
        rows = [_item(f"As in {'; '.join(shared)}")] if shared else []
        rows += [
            _item(f"{_names(names)}: {meaning}")
            for names, meaning in entry.get("columns", {}).items()
        ]
        if rows:
            parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def _names(text: str) -> str:
    """Names with commas between them; a figure's two files as one."""
    text = re.sub(r"(\S+)\.pdf, \1\.png", r"\1.{pdf,png}", text)
    return ", ".join(f"`{name}`" for name in text.split(", "))


# The library


def api_page() -> str:
    """What a program calls, from the docstrings; nothing is imported."""
    offered = ast.literal_eval(_assigned("laq", "_OFFERED"))
    parts = [
        "# Library",
        NOTICE.format(source="the docstrings"),
        _paragraph(
            "`import laq` imports nothing before it is called. [The how-to](../library.md) shows "
            "how these fit together, and the command. Errors are `laq.utils.errors.LaqError`; "
            "docstrings list them."
        ),
    ]
    for name, module in sorted(offered.items()):
        parts += _function(f"laq.{name}", _definition(module, name))
        if name in RESULTS:
            parts += _class(RESULTS[name], _definition(module, RESULTS[name]))
    for module, name in ALSO_OFFERED:
        parts += _function(f"{module}.{name}", _definition(module, name))
    return "\n\n".join(parts) + "\n"


def _source(module: str) -> ast.Module:
    path = ROOT / "src" / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def _assigned(module: str, name: str) -> str:
    for node in _source(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.unparse(node.value)
    raise LookupError(f"{module}.{name}")


def _definition(module: str, name: str) -> ast.FunctionDef | ast.ClassDef:
    for node in _source(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node
    raise LookupError(f"{module}.{name}")


def _function(title: str, node: Any) -> list[str]:
    return [f"## {title}", f"```python\n{_signature(node)}\n```", *_docstring(node)]


def _class(title: str, node: Any) -> list[str]:
    parts = [f"### {title}", *_docstring(node)]
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
            shown = [ast.unparse(each) for each in method.decorator_list]
            call = method.name if "property" in shown else _signature(method)
            parts += [f"**`{call.removeprefix('def ')}`**", *_docstring(method)]
    return parts


def _signature(node: ast.FunctionDef) -> str:
    """The call on one line, or with a line for each argument."""
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("self")
    line = f"{node.name}({arguments}){returns}"
    if len(line) <= 88:
        return line
    inner = [argument.strip() for argument in re.split(r", (?![^\[]*\])", arguments)]
    return "\n".join([f"{node.name}(", *(f"    {each}," for each in inner), f"){returns}"])


def _docstring(node: Any) -> list[str]:
    """Paragraphs of a docstring without its errors; arguments become a list."""
    text = (ast.get_docstring(node) or "").replace("``", "`")
    parts = []
    for block in text.split("\n\n"):
        head, _, body = block.partition("\n")
        if block.startswith("Raises"):  # an error says itself what to do
            continue
        if head == "Args:":
            entries = re.split(r"\n(?=\S)", textwrap.dedent(body))
            rows = []
            for entry in entries:
                names, _, meaning = " ".join(entry.split()).partition(": ")
                rows.append(_item(f"{_names(names.replace('**', ''))}: {meaning}"))
            parts.append("\n".join(rows))
        elif head == "Returns:":
            parts.append(_paragraph("Returns: " + " ".join(body.split())))
        elif block.strip():
            parts.append(_paragraph(" ".join(block.split())))
    return parts


# The drawing of the packages


def imports(path: Path) -> Iterator[str]:
    """Names of the project's modules that a file imports, inside of functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.startswith("laq."))


def packages() -> nx.DiGraph:
    """Packages, with an edge to each package that one imports."""
    graph = nx.DiGraph()
    for path in sorted(LIBRARY.rglob("*.py")):
        if path.parent == LIBRARY:
            continue
        package = path.relative_to(LIBRARY).parts[0]
        graph.add_node(package)
        for name in imports(path):
            if (imported := name.split(".")[1]) != package:
                graph.add_edge(package, imported)
    return graph


def architecture_page() -> str:
    """docs/architecture.md with today's imports drawn; those that others imply are left out."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    reduced = nx.transitive_reduction(packages())
    lines = [f"    {package} --> {imported}" for package, imported in sorted(reduced.edges)]
    drawing = "\n".join(["graph TD", *lines])
    return re.sub(r"(?<=```mermaid\n).*?(?=\n```)", lambda _: drawing, text, flags=re.S)


if __name__ == "__main__":
    sys.exit(main())
