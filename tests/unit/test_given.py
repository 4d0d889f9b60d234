"""What a config's author wrote, where YAML or Snakemake made something else of it."""

from __future__ import annotations

import copy
import json
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


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("size: 4", "size: 4\n  size: 3", "subsets.size"),
        ("classes: 10}", "classes: 10, classes: 20}", "dataset.classes"),
        ("{bits: 4}}\n  ft:", "{bits: 4, 'bits': 3}}\n  ft:", "variants.quant.compress.bits"),
        ("{epochs: 2}", "&a {epochs: 2, epochs: 3}", "variants.ft.finetune.epochs"),
        ("{epochs: 2}", "{<<: {epochs: 2, epochs: 3}}", "variants.ft.finetune.epochs"),
        ("[digit_1, digit_2]", "[digit_1, {a: 1, a: 2}]", "named.classes[1].a"),
    ],
)
def test_it_is_found_at_every_depth(old: str, new: str, key: str, tmp_path: Path) -> None:
    assert f"{key}: stands 2 times in" in refused(tmp_path, BASE.replace(old, new))


def test_every_file_of_the_command_line_is_looked_at(tmp_path: Path) -> None:
    said = refused(tmp_path, BASE, "seed: 3\nthreads: 1\nseed: 4\n")
    assert f"seed: stands 2 times in {tmp_path / '1.yaml'}, line 1, 3;" in said


def test_two_files_may_give_the_same_key(tmp_path: Path) -> None:
    assert opened(tmp_path, BASE + "seed: 1\n", "seed: 2\n")["seed"] == 2


@pytest.mark.parametrize("indent", [None, 1, "\t"])
def test_json_is_looked_at_as_well(indent: Any, tmp_path: Path) -> None:
    text = json.dumps(yaml.safe_load(BASE), indent=indent)
    twice = text.replace('"size": 4', '"size": 4, "size": 4')
    assert opened(tmp_path, text)["subsets"]["size"] == 4
    assert "subsets.size: stands 2 times in" in refused(tmp_path, twice)


def test_a_replay_s_config_is_looked_at_as_well(tmp_path: Path) -> None:
    said = refused(tmp_path, "kind: replay\nlog_4bit: a.csv\nlog_4bit: b.csv\n")
    assert "log_4bit: stands 2 times in" in said


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


def test_so_is_the_name_of_a_group_of_classes(tmp_path: Path) -> None:
    groups = "{010: [digit_1, digit_2]}"
    said = refused(tmp_path, BASE.replace("classes: 10}", f"classes: 10, superclasses: {groups}}}"))
    assert 'says 010, of which YAML makes the number 8; write "010", in quotes' in said


def test_a_value_that_another_file_replaced_is_not_blamed(tmp_path: Path) -> None:
    said = refused(tmp_path, BASE + "study: 010\n", "study: 12\n")
    assert 'study: 12 must be text: write "12", in quotes' in said and "010" not in said


def test_text_in_quotes_is_text(tmp_path: Path) -> None:
    assert opened(tmp_path, BASE + 'study: "010"\n')["study"] == "010"


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


def test_what_the_messages_say_to_write_is_taken(tmp_path: Path) -> None:
    config = opened(tmp_path, BASE, 'study: "2024"', "umap: {min_dist: 0.5}")
    assert (config["study"], config["umap"]["min_dist"]) == ("2024", 0.5)
    assert config["umap"]["neighbors"] == opened(tmp_path, BASE)["umap"]["neighbors"]


def test_a_fault_of_the_file_is_not_blamed_on_the_command_line(tmp_path: Path) -> None:
    said = refused(tmp_path, BASE + 'umap: {min_dist: "0.5"}\n', line=["umap={neighbors: 5}"])
    (line,) = [line for line in said.splitlines() if "  umap.min_dist:" in line]
    assert "--config" not in line and "write 0.5" in line


def test_a_file_of_changes_alone_is_told_to_be_named_after_the_config_s(tmp_path: Path) -> None:
    hint = "name a file of changes after the config's, --configfile CONFIG FILE"
    lines = [line for line in refused(tmp_path, "seed: 3").splitlines() if hint in line]
    assert len(lines) == 1 and "this key is missing" in lines[0]
    assert hint not in refused(tmp_path, BASE, "sweep: {bits: [3]}")
