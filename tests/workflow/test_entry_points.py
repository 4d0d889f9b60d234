"""Ways into the workflow, and studies of other shapes, by dry run."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml

from laq.config.recipes import STEPS
from tests.workflow.conftest import Checkout

STUDY = """
root: results/other
dataset: { kind: digits }
networks:
  one: { architecture: small_resnet, widths: [8, 16] }
  original: { architecture: small_resnet, widths: [8, 32] }
features: { source: pixels }
subsets:
  size: 3
  definitions:
    training: { kind: random, count: 2 }
variants:
  original: {}
"""
VARIANTS = {
    "only the networks": ("", {}),
    "a chain, and every way to compress": (
        "  q2: { parent: b_2, compress: { bits: 2 } }\n"
        "  b_2: { parent: a, finetune: {} }\n"
        "  lsq: { parent: a, qat: { bits: 2 } }\n"
        "  small: { parent: a, deep: {} }\n"
        "  a: { finetune: {} }",
        {
            "finetune_network": 8,
            "compress_network": 4,
            "train_quantized": 4,
            "deep_compress_network": 4,
        },
    ),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout.create(tmp_path_factory.mktemp("entry") / "laq")


def planned(printed: str) -> Counter[str]:
    """Number of jobs by rule, from the table of a dry run."""
    table = printed.split("Job stats:")[1].split("total")[0]
    rows = [line.split() for line in table.splitlines()]
    return Counter({row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()})


@pytest.mark.parametrize(("variants", "expected"), VARIANTS.values(), ids=VARIANTS)
def test_studies_of_other_shapes_are_planned(
    checkout: Checkout, variants: str, expected: dict[str, int]
) -> None:
    (checkout.path / "other.yaml").write_text(STUDY + variants)
    jobs = planned(checkout.run("-n", config="other.yaml"))
    rules = {step.rule for step in STEPS.values()}
    assert {rule: n for rule, n in jobs.items() if rule in rules} == expected
    assert (jobs["train_network"], jobs["select_subset"], jobs["evaluate_subset"]) == (2, 2, 4)


def test_pixels_need_no_network(checkout: Checkout) -> None:
    (checkout.path / "other.yaml").write_text(STUDY)
    target = "results/other/tables/subsets.csv"
    assert "train_network" not in planned(checkout.run("-n", target, config="other.yaml"))


@pytest.mark.long
def test_the_catalog_s_snakefile_plans_the_study(checkout: Checkout) -> None:
    jobs = planned(checkout.run("-n", "--snakefile", "workflow/Snakefile"))
    assert jobs["all"] == 1 and jobs["evaluate_subset"] == 6


@pytest.mark.long
def test_another_working_directory_takes_the_default_study(
    checkout: Checkout, tmp_path: Path
) -> None:
    jobs = planned(checkout.bare("-n", "--directory", str(tmp_path)))
    assert jobs["select_subset"] == 12


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "networks", "subsets", "variants", "exported"),
    [
        ("cifar100", 1, 33, 15, 0),
        ("cifar100_recommended", 1, 53, 18, 4),
        ("mnist", 2, 6, 4, 0),
    ],
)
def test_the_whole_study_is_planned_without_its_data(
    checkout: Checkout, name: str, networks: int, subsets: int, variants: int, exported: int
) -> None:
    jobs = planned(checkout.run("-n", config=f"config/{name}.yaml"))
    assert jobs["select_subset"] == subsets
    assert jobs["evaluate_subset"] == networks * subsets
    made = jobs["compress_network"] + jobs["finetune_network"]
    assert made == networks * subsets * variants
    assert jobs["export_onnx"] == jobs["evaluate_onnx"] == exported


# As a module of another Snakefile

MODULE = """
configfile: "outer.yaml"
module {name}:
    snakefile: {snakefile!r}
    config: config[{name!r}]
{options}
use rule * from {name} as {name}_*
"""


def as_modules(checkout: Checkout, folder: Path, **options: str) -> Path:
    """A Snakefile in ``folder`` with a module of the workflow for each name; its options."""
    snakefile = str(checkout.path / "Snakefile")
    modules = [
        MODULE.format(name=name, snakefile=snakefile, options=text and f"    {text}")
        for name, text in options.items()
    ]
    inputs = ", ".join(f"rules.{name}_all.input" for name in options)
    ending = f"rule everything:\n    default_target: True\n    input: {inputs}\n"
    (folder / "Snakefile").write_text("\n".join([*modules, ending]))
    config = yaml.safe_load(STUDY) | {"study": "With {braces}"}
    configs = {name: config | {"root": f"results/{name}"} for name in options}
    (folder / "outer.yaml").write_text(yaml.safe_dump({"study": "another's", **configs}))
    return folder / "Snakefile"


def test_it_is_planned_as_a_module_with_a_prefix_and_twice(
    checkout: Checkout, tmp_path: Path
) -> None:
    snakefile = as_modules(checkout, tmp_path, one="", two='prefix: "second"')
    said = checkout.bare("-n", "--snakefile", str(snakefile), "--directory", str(tmp_path))
    jobs = planned(said)
    assert jobs["one_train_network"] == jobs["two_train_network"] == 2
    assert "results/one/accuracy.csv" in said and "second/results/two/accuracy.csv" in said


@pytest.mark.long
def test_the_roads_of_a_module_with_a_prefix_are_drawn(checkout: Checkout, tmp_path: Path) -> None:
    snakefile = as_modules(checkout, tmp_path, own='prefix: "first"')
    target = "first/results/own/figures/fig2.png"
    options = ("--snakefile", str(snakefile), "--directory", str(tmp_path))
    checkout.bare(target, "first/results/own/dataset/train.npz", *options)
    assert (tmp_path / target).stat().st_size


def test_a_module_that_is_given_no_config_takes_the_default_study_or_asks_for_one(
    checkout: Checkout, tmp_path: Path
) -> None:
    module = f"module own:\n    snakefile: {str(checkout.path / 'Snakefile')!r}\n"
    snakefile = tmp_path / "Snakefile"
    snakefile.write_text(f"{module}use rule * from own as own_*\n")
    arguments = ("-n", "--snakefile", str(snakefile), "--directory", str(tmp_path))
    assert planned(checkout.bare(*arguments))["own_select_subset"] == 12
    done = checkout.snakemake(*arguments)
    assert done.returncode and "config: config" in done.stdout + done.stderr


def test_a_repository_that_is_not_checked_out_is_refused_with_the_remedy(
    checkout: Checkout, tmp_path: Path
) -> None:
    git = ["git", "-C", str(checkout.path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], check=True)
    file = f"gitfile({str(checkout.path)!r}, path='Snakefile', commit='HEAD')"
    snakefile = tmp_path / "Snakefile"
    snakefile.write_text(
        f"module own:\n    snakefile: {file}\n    config: config\nuse rule * from own\n"
    )
    done = checkout.snakemake("-n", "--snakefile", str(snakefile))
    said = done.stdout + done.stderr
    assert done.returncode and "runs from a clone on this machine, not from git+file" in said
    assert "git clone" in said
