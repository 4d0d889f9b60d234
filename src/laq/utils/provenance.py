"""Digests of the code that a result depends on, besides its input files and settings.

Snakemake compares a rule's params with those of the last run. These texts are made for that
comparison: equal code gives equal text, whatever a checkout did to file times.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

_SOURCES = {".py", ".smk", ".yaml", ".rst"}
_HIDDEN = re.compile(r"(^|/)(\.|__pycache__/)")


def text_digest(paths: Iterable[Path]) -> str:
    """Digest of files by their names and contents, in the order of the names."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def sources_digest(snakefile: Path, *folders: str) -> str:
    """Digest of the Snakefile and of every source in ``folders`` beside it, by name and content.

    Files that Python, Numba or an editor leave do not count.
    """
    digest, root = hashlib.sha256(), snakefile.parent
    paths = (path for folder in folders for path in (root / folder).rglob("*") if path.is_file())
    names = {p.relative_to(root).as_posix(): p for p in paths if p.suffix in _SOURCES}
    sources = {name: path for name, path in names.items() if not _HIDDEN.search(name)}
    for name, path in [(snakefile.name, snakefile), *sorted(sources.items())]:
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def code_digest(script: Path, library: Path) -> str:
    """Digest of a script and of all project modules it imports, directly or not.

    script: other project modules are beside it, or below ``library``. Only contents count, not file
    times. Imports inside functions count. Those under ``if TYPE_CHECKING`` do not.
    """
    digest = hashlib.sha256()
    for name, path in sorted(import_closure(script, library).items()):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def import_closure(script: Path, library: Path) -> dict[str, Path]:
    """The script and the files of all project modules it imports, by name below their folder."""
    stack, files = [(script.name, script)], {}
    while stack:
        name, path = stack.pop()
        if name not in files:
            files[name] = path
            stack.extend(_imported_files((script.parent, library), path))
    return files


# Within one run of the workflow the sources do not change, and most scripts share most modules.
@cache
def _imported_files(roots: tuple[Path, ...], path: Path) -> tuple[tuple[str, Path], ...]:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return tuple(file for module in _imports(tree) for file in _files(roots, module))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:  # it would be missed, and results would go stale
                raise ValueError(f"line {node.lineno}: import project modules absolutely")
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from _imports(ast.Module(node.orelse, []))
        else:
            yield from _imports(node)


def _files(roots: tuple[Path, ...], module: str) -> Iterator[tuple[str, Path]]:
    """Files that importing ``module`` runs, if it is a project module: packages first."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        for name in ("/".join(parts[:depth]) + "/__init__.py", "/".join(parts[:depth]) + ".py"):
            yield from ((name, root / name) for root in roots if (root / name).is_file())
