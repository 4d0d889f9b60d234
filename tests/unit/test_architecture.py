"""The library's packages: each imports only from those before it."""

from __future__ import annotations

import re
from pathlib import Path

from docs.make_reference import LIBRARY, imports

from laq.config import architectures, methods, qat_methods, recipes
from laq.experiments.variants.registry import MAKERS
from laq.models.architectures import ARCHITECTURES
from laq.ptq.registry import SOLVERS
from laq.qat.training import CONSTRAINTS
from laq.quantizers.registry import ALPHABETS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
# Lowest first.
PACKAGES = re.findall(r"^- `(\w+)`: ", PAGE, re.M)


def test_only_packages_stand_at_the_top() -> None:
    found = {path.name for path in LIBRARY.iterdir() if path.name != "__pycache__"}
    assert found == {"__init__.py", *PACKAGES}


def test_no_package_imports_from_one_after_it() -> None:
    upward = [
        f"{path.relative_to(LIBRARY)}: {name}"
        for path in sorted(LIBRARY.rglob("*.py"))
        for name in imports(path)
        if path.parent != LIBRARY
        if PACKAGES.index(name.split(".")[1]) > PACKAGES.index(path.relative_to(LIBRARY).parts[0])
    ]
    assert upward == []


def test_modules_are_imported_by_name_in_few_places() -> None:
    """Each such place says why: nothing else shows an editor who calls whom."""
    found = {
        path.relative_to(LIBRARY).as_posix()
        for path in LIBRARY.rglob("*.py")
        if "import_module" in path.read_text(encoding="utf-8")
    }
    assert found == {"__init__.py", "training/constraints.py"}


def test_what_the_config_knows_by_name_has_a_function_of_that_name() -> None:
    assert SOLVERS.keys() == methods.METHODS.keys()
    assert ALPHABETS.keys() == methods.ALPHABETS.keys()
    assert CONSTRAINTS.keys() == qat_methods.METHODS.keys()
    assert MAKERS.keys() == recipes.STEPS.keys()
    assert tuple(ARCHITECTURES) == architectures.OWN
