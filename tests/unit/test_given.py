"""What a config's author wrote, where YAML or Snakemake made something else of it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.cli import parse_config
from snakemake.utils import update_config

from laq.config.load import checked
from laq.utils.errors import ConfigError
from tests.configs import BASE, ROOT

SCHEMAS = ROOT / "workflow/schemas"


def opened(folder: Path, *texts: str, line: list[str] | None = None) -> dict[str, Any]:
    """The config of files with these texts, and of --config, through the workflow's door."""
    config, files = {}, []
    for place, text in enumerate(texts):
        files.append(folder / f"{place}.yaml")
        files[-1].write_text(text)
        update_config(config, yaml.full_load(text.replace("\t", " ")))
    named = parse_config(line or [])
    update_config(config, copy.deepcopy(named))
    return checked(config, SCHEMAS, named, files)[0]


def refused(folder: Path, *texts: str, line: list[str] | None = None) -> str:
    with pytest.raises(ConfigError) as error:
        opened(folder, *texts, line=line)
    return str(error.value)


# Keys that stand twice


def test_a_key_that_stands_twice_is_named_with_its_file_and_lines(tmp_path: Path) -> None:
    base = BASE.strip()
    again = "  quant: {compress: {bits: 3}}\nvariants: {original: {}}\n"
    said = refused(tmp_path, f"{base}\n{again}").splitlines()
    first, last = (
        base.splitlines().index(line) + 1 for line in ("variants:", base.splitlines()[-1])
    )
    quant = base.splitlines().index("  quant: {compress: {bits: 4}}") + 1
    file = tmp_path / "0.yaml"
    assert said[1].startswith(f"  variants: stands 2 times in {file}, line {first}, {last + 2};")
    assert said[2].startswith(
        f"  variants.quant: stands 2 times in {file}, line {quant}, {last + 1};"
    )
    assert len(said) == 3


def test_a_key_that_replaces_a_merged_one_stands_once(tmp_path: Path) -> None:
    merged = BASE.replace(
        "  quant: {compress: {bits: 4}}",
        "  quant: &quant {compress: &compress {bits: 4, images: 32}}\n"
        "  quant3: {<<: *quant, compress: {<<: *compress, bits: 3}}",
    )
    compress = opened(tmp_path, merged)["variants"]["quant3"]["compress"]
    assert (compress["bits"], compress["images"]) == (3, 32)


# What YAML makes of text


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("010", "the number 8"),
        ("12:30", "the number 750"),
        ("1.10", "the number 1.1"),
        ("0x1F", "the number 31"),
        ("1_0", "the number 10"),
        ("no", "false"),
        ("null", "no value"),
    ],
)
def test_a_class_that_yaml_takes_for_another_value_is_shown_as_it_is_written(
    text: str, made: str, tmp_path: Path
) -> None:
    said = refused(tmp_path, BASE.replace("[digit_1, digit_2]", f"[\n  digit_1,\n  {text}]"))
    line = BASE.splitlines().index("    named: {kind: classes, classes: [digit_1, digit_2]}") + 3
    wanted = f"line {line} of {tmp_path / '0.yaml'} says {text}, of which YAML makes {made}; "
    assert wanted + f'write "{text}", in quotes' in said


# What Snakemake makes of the command line


@pytest.mark.parametrize(
    ("given", "key", "remedy"),
    [
        ("dataset={classes: 12}", "dataset.classes", "a file of its own (dataset: {classes: 12})"),
        (
            "variants={quant: {compress: {bits: [5, 3]}}}",
            "variants.quant.compress.bits[0]",
            "a file of its own (variants: {quant: {compress: {bits: [5, 3]}}})",
        ),
        (
            "umap={min_dist: 0.5}",
            "umap.min_dist",
            "takes all that stands inside a value of --config",
        ),
        ("dataset=digits", "dataset", "takes the place of all that the config has below dataset"),
        ("variants=", "variants", "takes the place of all that the config has below variants"),
        ("study=2024", "study", 'a file of its own (study: "2024")'),
        ("study=True", "study", 'a file of its own (study: "True")'),
        ("seed=", "seed", "--config seed= gives no value"),
        ("seed=1e3", "seed", "write 1000"),
    ],
)
def test_a_fault_says_what_snakemake_made_of_it(
    given: str, key: str, remedy: str, tmp_path: Path
) -> None:
    (line,) = [
        line for line in refused(tmp_path, BASE, line=[given]).splitlines() if f"  {key}: " in line
    ]
    assert remedy in line
