"""The config of a replay: its schema, its logs, and the arms that play the parts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from laq.config import replay
from laq.config.schema import complete
from laq.utils.errors import ConfigError
from tests.configs import ROOT, mappings

SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/replay.schema.yaml").read_text())
PUBLISHED = yaml.safe_load((ROOT / "config/published.yaml").read_text())
BASE = {"kind": "replay", "log_4bit": "four.csv"}


def filled(**keys: Any) -> dict[str, Any]:
    return replay.filled(complete(BASE | keys, SCHEMA))


def refused(**keys: Any) -> str:
    with pytest.raises(ConfigError) as error:
        filled(**keys)
    return str(error.value)


# Logs


def test_logs_are_the_keys_by_that_name_in_the_config_s_order() -> None:
    config = filled(log_2bit="two.csv", log_a_b="x.csv")
    assert list(replay.logs(config).items()) == [
        ("4bit", "four.csv"),
        ("2bit", "two.csv"),
        ("a_b", "x.csv"),
    ]


def test_the_published_config_has_the_five_logs() -> None:
    config = replay.filled(complete(PUBLISHED, SCHEMA))
    assert list(replay.logs(config)) == ["4bit", "3bit", "32bit", "mp53", "mp35"]
    assert config["root"] == "results/published"


def test_a_missing_log_that_was_asked_for_is_named_with_path_and_remedy(tmp_path: Path) -> None:
    there = tmp_path / "four.csv"
    there.write_text("")
    config = filled(log_4bit=str(there), log_2bit=str(tmp_path / "two.csv"), log_x=str(tmp_path))
    with pytest.raises(ConfigError) as error:
        replay.with_files(config, {"log_2bit", "log_x", "log_4bit"})
    message = str(error.value)
    assert f"log_2bit: there is no file {tmp_path / 'two.csv'}" in message
    assert f"log_x: there is no file {tmp_path}" in message
    assert "--config log_2bit=PATH" in message
    assert "--config log_2bit=null log_x=null" in message
    assert "log_4bit" not in message


def test_the_main_log_must_be_there_and_others_of_the_file_are_left_out(tmp_path: Path) -> None:
    there = tmp_path / "four.csv"
    there.write_text("")
    config = filled(log_4bit=str(there), log_2bit="nowhere.csv")
    completed, said = replay.with_files(config, {})
    assert replay.logs(completed) == {"4bit": str(there)}
    assert len(said) == 1 and "log_2bit" in said[0] and "nowhere.csv" in said[0]
    there.unlink()
    with pytest.raises(ConfigError, match="log_4bit: there is no file"):
        replay.with_files(config, {})


# Parts


def test_parts_are_played_by_the_published_arms_unless_the_config_says_otherwise() -> None:
    config = replay.filled(complete(PUBLISHED, SCHEMA))
    assert replay.claim_arms(config) == {
        "original": ["4bit", "original"],
        "quant": ["4bit", "quant"],
        "ft": ["4bit", "ft"],
        "ft_quant": ["4bit", "ft_quant"],
        "mp53": ["mp53", "quant"],
        "mp35": ["mp35", "quant"],
        "bits32": ["32bit", "quant"],
    }
    other = filled(log_own="own.csv", claims={"agnostic": "own/quant", "quant": "own/ft"})
    arms = replay.claim_arms(other)
    assert (arms["agnostic"], arms["quant"]) == (["own", "quant"], ["own", "ft"])
    assert arms["original"] == ["4bit", "original"]


def test_filling_in_is_a_copy_and_changes_nothing_twice() -> None:
    config = complete(PUBLISHED, SCHEMA)
    before = json.dumps(config)
    once = replay.filled(config)
    assert json.dumps(config) == before
    # A run that Snakemake starts inside itself is handed the config as it was filled in.
    assert replay.filled(complete(once, SCHEMA)) == once


# What is refused


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"log_4bit": None}, "log_<setting>: none is given; give the path of at least one"),
        ({"log_4bit": None, "log_3bit": "x.csv"}, "main: '4bit' is no log (did you mean 3bit?)"),
        ({"main": "zz"}, "main: 'zz' is no log; there are: 4bit"),
        ({"claims": {"mp53": "mp53/quant"}}, "claims.mp53: 'mp53' is no log; there are: 4bit"),
        ({"figures": {"mixed": ["4bt/ft"]}}, "figures.mixed[0]: '4bt' is no log (did you mean"),
        ({"root": "config/mine"}, "root: 'config/mine' is a folder of the workflow's own"),
        ({"claims": {"ft": "4bit"}}, "claims.ft: '4bit' is not allowed; give setting/variant"),
        ({"claims": {"ft": "4bit/mp"}}, "variants are original, quant, ft and ft_quant"),
        ({"claims": {"fq": "4bit/ft"}}, "claims.fq: there is no such key; allowed: original"),
        ({"log_4Bit": "x"}, "log_4Bit: there is no such key; allowed of kind replay: kind, study"),
        ({"log_": "x"}, "log_: there is no such key"),
        ({"log_a": 5}, "log_a: 5 must be text or null"),
        ({"log_a": ""}, "log_a: '' is empty"),
        ({"log_a": "{x}.csv"}, "log_a: '{x}.csv' is not allowed; give path"),
        ({"networks": {}}, "networks: there is no such key"),
        ({"figures": {"weights": {}}}, "figures.weights: there is no such key"),
        ({"test_per_class": 0}, "test_per_class: 0 must be at least 1"),
        ({"kind": "study"}, "kind"),
    ],
    ids=str,
)
def test_a_fault_is_named_with_its_key_and_what_is_allowed(
    keys: dict[str, Any], words: str
) -> None:
    assert words in refused(**keys)


# The schema and the page


def properties() -> dict[str, dict[str, Any]]:
    """Every key that a replay may have, by name."""
    found = {child["title"]: child for child in SCHEMA["patternProperties"].values()}
    for node in mappings(SCHEMA):
        for name, child in node.get("properties", {}).items():
            reference = child.get("$ref", "").removeprefix("#/$defs/")
            found[name] = SCHEMA["$defs"].get(reference, {}) | child
    return found


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_key_has_a_description_fit_for_a_message_and_a_valid_default() -> None:
    assert {"main", "mixed", "bits32", "log_<setting>"} <= properties().keys()
    for name, child in properties().items():
        assert child.get("description"), name
        assert not child["description"].endswith("."), name
        if "default" in child:
            Draft202012Validator({**child, "$defs": SCHEMA["$defs"]}).validate(child["default"])


def test_every_mapping_refuses_unknown_keys() -> None:
    for node in mappings(SCHEMA):
        if node.get("type") == "object":
            assert node["additionalProperties"] is False


def test_the_reference_has_every_key_and_default_of_a_replay() -> None:
    page = (ROOT / "docs/reference/config.md").read_text(encoding="utf-8")
    section = " ".join(page.split("## Replay of published logs")[1].split())
    rows = re.findall(r"\*\*`([^`]+)`\*\*", section)
    stated = dict(row.split(": ", 1) for row in rows if ": " in row)
    assert {row.partition(": ")[0] for row in rows} == properties().keys()
    for name, child in properties().items():
        if "default" in child:
            assert stated[name] == json.dumps(child["default"]).strip('"'), name
