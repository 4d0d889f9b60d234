"""What a result depends on besides its input files: settings and code, as short texts.

Snakemake compares a rule's params with those of the last run. These texts are made for
that comparison: equal meaning gives equal text, whatever a checkout did to file times.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

_SOURCES = {".py", ".smk", ".yaml", ".rst"}
_HIDDEN = re.compile(r"(^|/)(\.|__pycache__/)")
_STRING, _BRACE = re.compile(r'"(?:[^"\\]|\\.)*"'), re.compile("[{}]")


def settings_text(**settings: Any) -> str:
    """Settings as one canonical JSON text (sorted keys)."""
    return without_wildcards(json.dumps(settings, sort_keys=True, ensure_ascii=False))


def without_wildcards(text: str) -> str:
    """The same JSON, with the braces in its strings escaped: Snakemake fills wildcards into params.

    A study, a folder or a layer may be called ``{x}``.
    """
    escaped = {"{": r"\u007b", "}": r"\u007d"}
    return _STRING.sub(lambda s: _BRACE.sub(lambda brace: escaped[brace[0]], s[0]), text)


def text_digest(paths: Iterable[Path]) -> str:
    """Digest of files by their names and contents, in the order of the names."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def sources_digest(snakefile: Path, folder: Path) -> str:
    """Digest of the Snakefile and of every source below ``folder``, by relative name and content.

    Only files that the workflow is made of count: not what Python, Numba or an editor leave.
    """
    digest = hashlib.sha256()
    found = (path for path in folder.rglob("*") if path.suffix in _SOURCES and path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in found}
    shown = {name: path for name, path in names.items() if not _HIDDEN.search(name)}
    for name, path in [(snakefile.name, snakefile), *sorted(shown.items())]:
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def code_digest(script: Path, *modules: str) -> str:
    """Digest of a script and of all project modules it imports, directly or not.

    Args:
        script: the script; project modules are those found beside it.
        modules: modules imported by name only at run time (``laq.gpfq``), digested with
            their imports as well.

    Only contents count, not file times; imports made inside functions count, those under
    ``if TYPE_CHECKING`` do not. Where modules are named, so does of a registry what names them:
    another method's line changes nothing for who does not use it.
    """
    digest, root = hashlib.sha256(), script.parent
    run = import_closure(script, *modules)
    for path in run:
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        source = _without_entries(root, path, set(run)) if modules else path.read_bytes()
        digest.update(source + b"\0")
    return digest.hexdigest()[:16]


def _without_entries(root: Path, path: Path, run: set[Path]) -> bytes:
    """A module's source, of its registries only entries that name no module, or one of ``run``."""
    source = path.read_bytes()
    named = _named(root, source)
    return _with_entries(root, source, named & run) if named else source


@cache
def _named(root: Path, source: bytes) -> frozenset[Path]:
    """Files of the modules that entries of registries name."""
    registries = _registries(ast.parse(source))
    entries = (_modules(root, value) for registry in registries for value in registry.values)
    return frozenset().union(*entries)


@cache
def _with_entries(root: Path, source: bytes, run: frozenset[Path]) -> bytes:
    tree = ast.parse(source)
    for registry in _registries(tree):
        kept = [
            (key, value)
            for key, value in zip(registry.keys, registry.values, strict=True)
            if not (named := _modules(root, value)) or named & run
        ]
        registry.keys, registry.values = [key for key, _ in kept], [value for _, value in kept]
    return ast.unparse(tree).encode()


def _registries(tree: ast.Module) -> Iterator[ast.Dict]:
    """The dictionaries at a module's top."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            yield node.value


def _modules(root: Path, entry: ast.expr) -> set[Path]:
    """Files of the modules whose names are among an entry's texts, alone or before a colon."""
    texts = (node.value for node in ast.walk(entry) if isinstance(node, ast.Constant))
    names = (text.partition(":")[0] for text in texts if isinstance(text, str) and "." in text)
    return {file for name in names for file in [*_files(root, name)][-1:]}


def import_closure(script: Path, *modules: str) -> list[Path]:
    """The script and the files of all project modules it imports, sorted."""
    root = script.parent
    waiting = [script, *(path for module in modules for path in _files(root, module))]
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(_imported_files(root, path))
    return sorted(found)


# Within one run of the workflow the sources do not change, and most scripts share most modules.
@cache
def _imported_files(root: Path, path: Path) -> tuple[Path, ...]:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return tuple(file for module in _imports(tree) for file in _files(root, module))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:  # it would go unseen, and stale results with it
                raise ValueError(f"line {node.lineno}: import project modules absolutely")
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from _imports(ast.Module(node.orelse, []))
        else:
            yield from _imports(node)


def _files(root: Path, module: str) -> Iterator[Path]:
    """Files that importing ``module`` runs, if it is a project module: packages first."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        base = root.joinpath(*parts[:depth])
        for candidate in (base / "__init__.py", base.with_suffix(".py")):
            if candidate.is_file():
                yield candidate
