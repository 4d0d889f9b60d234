"""What the sources may not do, read off the sources: unpickle, evaluate, start a shell."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "src", ROOT / "workflow/scripts")
SOURCES = sorted(path for folder in FOLDERS for path in folder.rglob("*.py"))
RULES = [ROOT / "Snakefile", *sorted((ROOT / "workflow").rglob("*.smk"))]

# The one that asks Snakemake for the rule graph.
CALLING = "laq/figures/rulegraph.py"
# The one that has a cluster start the processes of a training.
PROCESSES = {"laq/utils/slurm.py"}
# The one that asks the system how many bytes its own connections have taken.
COUNTING = {"laq/experiments/partial/counting.py"}
# Those that may download, each where the config says so.
DOWNLOADING = {"laq/models/weight_sources.py", "laq/utils/downloads.py"}

FORBIDDEN = {"eval", "exec", "compile", "__import__", "breakpoint"}
MODULES = {
    "pickle": set(),
    "cloudpickle": set(),
    "dill": set(),
    "joblib": set(),
    "marshal": set(),
    "shelve": set(),
    "subprocess": {CALLING, "laq/utils/environment.py", *PROCESSES},
    "ctypes": set(),
    "socket": DOWNLOADING | PROCESSES | COUNTING,
    "urllib": DOWNLOADING,
    "http": DOWNLOADING,
    "requests": set(),
    "huggingface_hub": DOWNLOADING,
}
CALLS = {
    "os.system": None,
    "os.popen": None,
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
    "yaml.load": None,
    "yaml.unsafe_load": None,
    "yaml.full_load": None,
    "pd.read_pickle": None,
    "pandas.read_pickle": None,
    "torch.hub.load": None,
    "tarfile.extractall": None,
}
METHODS = {"extractall", "extract", "read_pickle", "unsafe_load"}


def name(path: Path) -> str:
    return next(path.relative_to(f).as_posix() for f in FOLDERS if path.is_relative_to(f))


def faults(tree: ast.AST, source: str) -> Iterator[str]:
    """What of the lists above the code does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for module in {each.split(".")[0] for each in names}:
                if source not in MODULES.get(module, {source}):
                    yield f"line {node.lineno}: imports {module}"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {word.arg: word.value for word in node.keywords}
        if isinstance(node.func, ast.Name) and called in FORBIDDEN:
            yield f"line {node.lineno}: calls {called}"
        if called in CALLS and not (
            CALLS[called] is not None and _constant(given.get(CALLS[called][0])) == CALLS[called][1]
        ):
            yield f"line {node.lineno}: calls {called} as {ast.unparse(node)}"
        if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            yield f"line {node.lineno}: calls {called}"
        if "shell" in given:
            yield f"line {node.lineno}: starts a shell"


def _constant(node: ast.AST | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_nothing_is_unpickled_evaluated_or_handed_to_a_shell(path: Path) -> None:
    assert list(faults(ast.parse(path.read_text(encoding="utf-8")), name(path))) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text)",
        "eval(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "tar.extractall(folder)",
        "import urllib.request",
    ],
)
def test_the_reading_finds_what_it_looks_for(line: str) -> None:
    assert list(faults(ast.parse(line), "laq/other.py"))


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_rules_start_scripts_alone(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    words = r"^\s*(shell|run|wrapper|notebook|cwl|storage|module|container)\b.*:\s*$"
    assert re.findall(words, text, flags=re.M) == []
    assert not re.search(r"\b(shell|eval|exec|system|subprocess)\b\s*\(", text)


@pytest.mark.parametrize("path", sorted((ROOT / "workflow").rglob("*.smk")), ids=lambda p: p.name)
def test_rules_open_no_connection(path: Path) -> None:
    assert not re.search(r"https?://|\b(urllib|requests|socket)\b", path.read_text("utf-8"))


def test_config_files_are_plain_yaml() -> None:
    for path in [*(ROOT / "config").glob("*.yaml"), *(ROOT / "workflow").rglob("*.yaml")]:
        assert "!!python" not in path.read_text(encoding="utf-8"), path
