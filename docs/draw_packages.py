"""The packages of the library and what they import, as a Mermaid diagram: docs/architecture.md.

python docs/draw_packages.py

An arrow points to what a package imports; left out are arrows that others imply.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import networkx as nx

LIBRARY = Path(__file__).resolve().parents[1] / "src/laq"


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


def diagram() -> str:
    reduced = nx.transitive_reduction(packages())
    lines = [f"    {package} --> {imported}" for package, imported in sorted(reduced.edges)]
    return "\n".join(["graph TD", *lines])


if __name__ == "__main__":
    print(diagram())
