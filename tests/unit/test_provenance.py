"""Digests change when a result would, and never otherwise."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from laq.utils.provenance import code_digest, import_closure, sources_digest

ROOT = Path(__file__).parents[2]
SCRIPTS, LIBRARY = ROOT / "workflow/scripts", ROOT / "src"

# Code, on a tree made up


TREE = {
    "script.py": "import os\nimport top\nfrom pkg import used\n\ndef f():\n    import pkg.late\n",
    "top.py": "from pkg.deep.inner import thing, other\n",
    "pkg/__init__.py": "",
    "pkg/used.py": (
        "from __future__ import annotations\n"
        "from typing import TYPE_CHECKING\n"
        "from pkg.circle_a import a\n"
        "if TYPE_CHECKING:\n    import pkg.typing_only\n"
        "if True:\n    try:\n        import pkg.tried\n    except ImportError:\n        pass\n"
    ),
    "pkg/late.py": "",
    "pkg/tried.py": "",
    "pkg/typing_only.py": "",
    "pkg/circle_a.py": "from pkg import circle_b\na = 1\n",
    "pkg/circle_b.py": "import pkg.circle_a\n",
    "pkg/deep/__init__.py": "",
    "pkg/deep/inner.py": "thing = other = 1\n",
    "pkg/named.py": "import pkg.behind\n",
    "pkg/behind.py": "",
    "pkg/unused.py": "import pkg.late\n",
}
REACHED = {
    *("script.py", "top.py", "pkg/__init__.py", "pkg/used.py", "pkg/late.py", "pkg/tried.py"),
    *("pkg/circle_a.py", "pkg/circle_b.py"),
    *("pkg/deep/__init__.py", "pkg/deep/inner.py"),
}


def place(root: Path, name: str) -> Path:
    """Where a file of the tree is: the package in the library, the rest beside the script."""
    return root / ("src" if name.startswith("pkg/") else "scripts") / name


def grow(root: Path) -> tuple[Path, Path]:
    """Write the tree below ``root``; the script and the library."""
    for name, text in TREE.items():
        path = place(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "scripts/script.py", root / "src"


def test_closure_holds_what_an_import_runs(tmp_path: Path) -> None:
    assert set(import_closure(*grow(tmp_path))) == REACHED


def test_from_a_package_import_a_module_in_it(tmp_path: Path) -> None:
    script, library = grow(tmp_path)
    script.write_text("from pkg.deep import inner as renamed\n")
    assert set(import_closure(script, library)) == {
        *("script.py", "pkg/__init__.py", "pkg/deep/__init__.py", "pkg/deep/inner.py")
    }


@pytest.mark.parametrize("name", sorted(TREE))
def test_digest_changes_with_what_is_reached_and_nothing_else(tmp_path: Path, name: str) -> None:
    script, library = grow(tmp_path)
    before = code_digest(script, library)
    with place(tmp_path, name).open("a") as file:
        file.write("x = 1\n")
    assert (code_digest(script, library) != before) == (name in REACHED)


def test_digest_does_not_depend_on_times_or_on_the_place(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "a/longer/way"
    before = code_digest(*grow(here))
    for path in here.rglob("*.py"):
        os.utime(path, (1, 1))
    assert code_digest(here / "scripts/script.py", here / "src") == before
    shutil.copytree(here, there)
    assert code_digest(there / "scripts/script.py", there / "src") == before


def test_digest_tells_apart_which_file_says_what(tmp_path: Path) -> None:
    script, library = grow(tmp_path)
    late, tried = (library / f"pkg/{name}.py" for name in ("late", "tried"))
    late.write_text("x = 1\n")
    before = code_digest(script, library)
    late.write_text("")
    tried.write_text("x = 1\n")
    assert code_digest(script, library) != before


# All sources


def test_the_sources_digest_is_of_every_source_and_of_nothing_else(tmp_path: Path) -> None:
    snakefile, workflow = tmp_path / "Snakefile", tmp_path / "workflow"
    snakefile.write_text("rule all:\n")
    grow(workflow)
    for name in ("rules/a.smk", "report/a.rst", "schemas/a.yaml"):
        (workflow / name).parent.mkdir(exist_ok=True)
        (workflow / name).write_text(name)
    seen = {sources_digest(snakefile, "workflow")}
    for path in [snakefile, *(path for path in workflow.rglob("*") if path.is_file())]:
        text = path.read_text()
        path.write_text(text + "#")
        seen.add(sources_digest(snakefile, "workflow"))
        path.write_text(text)
        os.utime(path, (1, 1))
    assert len(seen) == 1 + 1 + len(TREE) + 3
    (workflow / "src/pkg/used.py").rename(workflow / "src/pkg/used2.py")
    seen.add(digest := sources_digest(snakefile, "workflow"))
    assert len(seen) == 1 + 1 + len(TREE) + 3 + 1
    for name in ("pkg/__pycache__/used.py", "pkg/__pycache__/f.nbi", "pkg/.#used.py", "notes.md"):
        (workflow / name).parent.mkdir(parents=True, exist_ok=True)
        (workflow / name).write_text("left behind")
    assert sources_digest(snakefile, "workflow") == digest
    elsewhere = tmp_path.parent / "elsewhere"
    shutil.copytree(tmp_path, elsewhere)
    assert sources_digest(elsewhere / "Snakefile", "workflow") == digest


# Code, the project's own


def own(script: str) -> set[str]:
    return set(import_closure(SCRIPTS / script, LIBRARY))


ALL = sorted(path.name for path in SCRIPTS.glob("*_*.py") if "import job" in path.read_text())


def using(*modules: str) -> set[str]:
    """The scripts that reach any of the modules."""
    return {script for script in ALL if own(script) & {f"laq/{name}.py" for name in modules}}


def test_every_script_reaches_its_binding_and_the_package() -> None:
    assert len(ALL) >= 11
    for script in ALL:
        assert {script, "job.py", "laq/__init__.py", "laq/utils/errors.py"} <= own(script)


def test_quantizers_concern_no_trained_network_and_no_evaluation() -> None:
    found = using("ptq/gpfq", "ptq/gptq", "ptq/rtn")
    assert {"compress_network.py", "sweep_calibration.py", "measure_zoo.py"} <= found
    assert not found & {"train_network.py", "finetune_network.py", "evaluate_subset.py"}
    assert not [script for script in found if script.startswith(("plot_e", "collect_", "judge_"))]


def test_making_images_concerns_no_one_who_takes_them() -> None:
    assert using("data_free/optimised", "data_free/generated", "data_free/objective") == {
        "synthesize_images.py"
    }


def test_figures_concern_plots_alone() -> None:
    assert using("figures/style") == {name for name in ALL if name.startswith("plot_")}


def test_statistics_concern_tables_and_figures_alone() -> None:
    found = using("analysis/statistics/bootstrap", "analysis/claims/verdicts")
    assert "judge_claims.py" in found
    heads = ("train", "finetune", "compress_network", "deep_compress", "evaluate", "sweep")
    assert not [script for script in found if script.startswith(heads)]


def test_kinds_of_data_sets_concern_who_makes_images_alone() -> None:
    assert using("data/glyphs", "data/folder", "data/cifar", "data/mnist") == {"make_dataset.py"}


def test_the_config_machinery_concerns_no_job() -> None:
    # what the replay and the report take of it aside
    assert not using("config/schema", "config/load", "config/checks/variants", "utils/provenance")
