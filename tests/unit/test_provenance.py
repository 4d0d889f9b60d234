"""Digests change when a result would, and never otherwise."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laq.methods import METHODS
from laq.provenance import code_digest, import_closure, settings_text, sources_digest
from laq.synthesis import kinds

SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


# Settings


@given(settings=st.dictionaries(st.text(max_size=3), JSON), seed=st.integers(0, 99))
def test_order_of_keys_does_not_matter(settings: dict[str, Any], seed: int) -> None:
    def shuffled(node: Any) -> Any:
        if isinstance(node, list):
            return [shuffled(item) for item in node]
        if not isinstance(node, dict):
            return node
        items = [(key, shuffled(value)) for key, value in node.items()]
        random.Random(seed).shuffle(items)
        return dict(items)

    assert settings_text(all=settings) == settings_text(all=shuffled(settings))


def test_swapped_values_matter() -> None:
    assert settings_text(epochs=2, shift=3) != settings_text(epochs=3, shift=2)
    assert settings_text(widths=[8, 16]) != settings_text(widths=[16, 8])


def test_settings_are_read_back_as_they_were() -> None:
    import json

    settings = {"seed": 0, "recipe": {"bits": 4, "scale": 1.16, "skip_layers": []}, "name": "größe"}
    text = settings_text(**settings)
    assert json.loads(text) == settings
    assert "größe" in text


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


def grow(root: Path) -> Path:
    """Write the tree below ``root``; the script."""
    for name, text in TREE.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "script.py"


def reached(script: Path, *modules: str) -> set[str]:
    return {path.relative_to(script.parent).as_posix() for path in import_closure(script, *modules)}


def test_closure_holds_what_an_import_runs(tmp_path: Path) -> None:
    assert reached(grow(tmp_path)) == REACHED


def test_modules_named_at_run_time_bring_their_imports(tmp_path: Path) -> None:
    script = grow(tmp_path)
    assert reached(script, "pkg.named") == REACHED | {"pkg/named.py", "pkg/behind.py"}
    assert code_digest(script, "pkg.named") != code_digest(script)


def test_from_a_package_import_a_module_in_it(tmp_path: Path) -> None:
    script = grow(tmp_path)
    script.write_text("from pkg.deep import inner as renamed\n")
    assert reached(script) == {
        *("script.py", "pkg/__init__.py", "pkg/deep/__init__.py", "pkg/deep/inner.py")
    }


@pytest.mark.parametrize("name", sorted(TREE))
def test_digest_changes_with_what_is_reached_and_nothing_else(tmp_path: Path, name: str) -> None:
    script = grow(tmp_path)
    before = code_digest(script)
    with (tmp_path / name).open("a") as file:
        file.write("x = 1\n")
    assert (code_digest(script) != before) == (name in REACHED)


def test_digest_does_not_depend_on_times_or_on_the_place(tmp_path: Path) -> None:
    script = grow(tmp_path / "here")
    before = code_digest(script, "pkg.named")
    for path in (tmp_path / "here").rglob("*.py"):
        os.utime(path, (1, 1))
    assert code_digest(script, "pkg.named") == before
    shutil.copytree(tmp_path / "here", tmp_path / "a/longer/way")
    assert code_digest(tmp_path / "a/longer/way/script.py", "pkg.named") == before


def test_entries_of_registries_count_where_their_modules_are_run(tmp_path: Path) -> None:
    script, registry = grow(tmp_path), tmp_path / "pkg/late.py"

    def digests(entries: str) -> tuple[str, str]:
        registry.write_text(f'KINDS: dict = {{"plain": 3, {entries}}}\n')
        return code_digest(script, "pkg.named"), code_digest(script)

    own = '\n    "used": Kind("pkg.named:fit", 1),'
    named, whole = digests(own)
    for other in ('\n    "é": "pkg.deep.other_é:fit",', ' "a": Kind(\n"pkg.unused"\n) ,  '):
        for both in (own + other, other + own):
            found = digests(both)
            assert found[1] != whole, "who names no module may look at every entry"
            if "unused" in other:
                assert found[0] == named
    for changed in (own.replace("1", "2"), own + ' "b": Kind("pkg.behind"),', own + '"c": 4'):
        assert digests(changed)[0] != named


def test_digest_tells_apart_which_file_says_what(tmp_path: Path) -> None:
    script = grow(tmp_path)
    late, tried = tmp_path / "pkg/late.py", tmp_path / "pkg/tried.py"
    late.write_text("x = 1\n")
    before = code_digest(script)
    late.write_text("")
    tried.write_text("x = 1\n")
    assert code_digest(script) != before


# All sources


def test_the_sources_digest_is_of_every_source_and_of_nothing_else(tmp_path: Path) -> None:
    snakefile, workflow = tmp_path / "Snakefile", tmp_path / "workflow"
    snakefile.write_text("rule all:\n")
    grow(workflow)
    for name in ("rules/a.smk", "report/a.rst", "schemas/a.yaml"):
        (workflow / name).parent.mkdir(exist_ok=True)
        (workflow / name).write_text(name)
    seen = {sources_digest(snakefile, workflow)}
    for path in [snakefile, *(path for path in workflow.rglob("*") if path.is_file())]:
        text = path.read_text()
        path.write_text(text + "#")
        seen.add(sources_digest(snakefile, workflow))
        path.write_text(text)
        os.utime(path, (1, 1))
    assert len(seen) == 1 + 1 + len(TREE) + 3
    (workflow / "pkg/used.py").rename(workflow / "pkg/used2.py")
    seen.add(digest := sources_digest(snakefile, workflow))
    assert len(seen) == 1 + 1 + len(TREE) + 3 + 1
    for name in ("pkg/__pycache__/used.py", "pkg/__pycache__/f.nbi", "pkg/.#used.py", "notes.md"):
        (workflow / name).parent.mkdir(exist_ok=True)
        (workflow / name).write_text("left behind")
    assert sources_digest(snakefile, workflow) == digest
    shutil.copytree(tmp_path, tmp_path.parent / "elsewhere")
    place = tmp_path.parent / "elsewhere"
    assert sources_digest(place / "Snakefile", place / "workflow") == digest


# Code, the project's own


def own(script: str, *modules: str) -> set[str]:
    return reached(SCRIPTS / script, *modules)


MAKERS = {f"laq/synthesis/{name}.py" for name in ("optimised", "generated", "generator")}
ALL = sorted(path.name for path in SCRIPTS.glob("*_*.py") if "import job" in path.read_text())


def test_every_script_reaches_its_binding_and_the_package() -> None:
    assert len(ALL) >= 11
    for script in ALL:
        assert {script, "job.py", "laq/__init__.py", "laq/errors.py"} <= own(script)


def test_the_quantizer_concerns_quantized_variants_alone() -> None:
    assert "laq/gpfq.py" in own("compress_network.py", METHODS["gpfq"].module)
    for script in ALL:
        assert "laq/gpfq.py" not in own(script)


def test_making_images_concerns_no_one_who_takes_them() -> None:
    for script in ALL:
        assert bool(kinds.KINDS) and not MAKERS & own(script)
        if script != "synthesize_images.py":
            assert not any(name.startswith("laq/synthesis/") for name in own(script)), script
    optimised, generated = (own("synthesize_images.py", module) for module in kinds.KINDS.values())
    assert MAKERS & optimised == {"laq/synthesis/optimised.py"}
    assert MAKERS & generated == MAKERS - optimised
    assert not {"laq/compression.py", "laq/calibration.py"} & (optimised | generated)


def test_plots_concern_figures_alone() -> None:
    drawing = {script for script in ALL if "laq/plots/style.py" in own(script)}
    assert drawing == {script for script in ALL if script.startswith("plot_")}


def test_evaluation_concerns_no_training() -> None:
    using = [script for script in ALL if "laq/evaluation.py" in own(script)]
    expected = ["compare_initial.py", "deep_compress_network.py", "evaluate_onnx.py"]
    expected += ["evaluate_subset.py", "measure_curve.py", "measure_label_aware.py"]
    expected += ["measure_partial.py", "measure_stages.py", "measure_zoo.py"]
    expected += ["sweep_calibration.py"]
    assert using == expected


def test_drawing_glyphs_concerns_no_one_who_reads_images() -> None:
    assert "laq/datasets/glyphs.py" in own("make_dataset.py", "laq.datasets.glyphs")
    for script in ALL:
        assert "laq/datasets/glyphs.py" not in own(script)


def test_the_config_machinery_concerns_no_job() -> None:
    for script in ALL:
        assert not {"laq/schema.py", "laq/config.py", "laq/provenance.py"} & own(script)
