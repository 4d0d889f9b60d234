"""The schema agrees with itself, with the code, and with the pages that explain it."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import re
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from laq.config import checks, methods, recipes
from laq.config.schema import complete
from laq.data import glyphs, sources
from laq.utils.errors import ConfigError
from tests import documented
from tests.configs import BASE, ROOT, SCHEMA, checked, edited, mappings

DEFS = SCHEMA["$defs"]


def properties() -> list[tuple[str, dict[str, Any]]]:
    """Every property, references followed: name and schema of each key that a config may have."""
    found = []
    for node in mappings(SCHEMA):
        named = node.get("properties")
        # Under ``if`` stand conditions, and ``kind: true`` repeats a key in a branch.
        if isinstance(named, dict) and node not in CONDITIONS:
            for name, child in named.items():
                if child is not True:
                    reference = child.get("$ref", "").removeprefix("#/$defs/")
                    found.append((name, DEFS.get(reference, {}) | child))
    return found


def branch(definition: str, kind: str) -> dict[str, Any]:
    """The part of a definition that holds for one kind."""
    for case in DEFS[definition]["allOf"]:
        condition = case["if"]["properties"]["kind"]
        if kind in condition.get("enum", [condition.get("const")]):
            return case["then"]
    raise LookupError(kind)


CONDITIONS = [part for node in mappings(SCHEMA) if "if" in node for part in mappings(node["if"])]


# Completion


def test_defaults_are_filled_in_at_every_level() -> None:
    config = complete(yaml.safe_load(BASE), SCHEMA)
    assert config["root"] == "results"
    assert config["dataset"] == {
        "kind": "glyphs",
        "classes": 10,
        "train_per_class": 120,
        "test_per_class": 50,
        "superclasses": {},
    }
    training = DEFS["training"]["properties"]
    assert config["networks"]["small"]["training"] == {
        key: child["default"] for key, child in training.items()
    }
    assert config["umap"] == {"neighbors": 15, "min_dist": 0.1, "metric": "euclidean"}
    assert config["icd"].keys() == {"shrinkage"}
    assert config["subsets"]["definitions"]["near"] == {"kind": "similar", "count": 1}
    assert config["subsets"]["definitions"]["target"] == {"kind": "target", "count": 3}
    assert config["variants"]["original"] == {}
    assert config["variants"]["ft"]["parent"] == "original"
    # One step only: the default of neither may bring in the other.
    assert "compress" not in config["variants"]["ft"]
    assert config["variants"]["quant"]["compress"]["method"] == "gpfq"


def test_completion_is_a_copy_and_changes_nothing_twice() -> None:
    config = yaml.safe_load(BASE)
    before, schema = copy.deepcopy(config), copy.deepcopy(SCHEMA)
    completed = complete(config, SCHEMA)
    assert complete(completed, SCHEMA) == completed
    completed["networks"]["small"]["widths"].append(0)
    completed["variants"]["quant"]["compress"]["skip_layers"].append("stem")
    assert config == before
    assert schema == SCHEMA


def test_a_number_is_a_float_and_a_whole_number_an_int() -> None:
    config = complete(edited({"umap/min_dist": 1, "umap/neighbors": 5, "seed": 2}), SCHEMA)
    assert repr(config["umap"]["min_dist"]) == "1.0"
    assert repr(config["variants"]["quant"]["compress"]["quantile"]) == "1.0"
    assert repr((config["umap"]["neighbors"], config["seed"])) == "(5, 2)"


def test_variants_keep_their_order() -> None:
    config = complete(yaml.safe_load(BASE), SCHEMA)
    assert list(config["variants"]) == ["original", "quant", "ft", "ft_quant"]


def test_a_fault_of_a_keyword_without_words_of_its_own_still_names_the_key() -> None:
    schema = {"type": "object", "properties": {"even": {"multipleOf": 2}}}
    with pytest.raises(ConfigError, match="even: 3 is not a multiple of 2"):
        complete({"even": 3}, schema)


def test_keys_of_a_pattern_are_checked_and_completed_like_others() -> None:
    family = {
        "title": "part_<name>",
        "type": "object",
        "additionalProperties": False,
        "properties": {"size": {"type": "number", "default": 2}},
    }
    schema = {
        "type": "object",
        "properties": {"kind": {"type": "string"}, "part_zero": {"type": "null"}},
        "patternProperties": {"^part_[a-z]+$": family},
        "additionalProperties": False,
    }
    given = {"part_a": {}, "part_b": {"size": 1}}
    assert repr(complete(given, schema)) == "{'part_a': {'size': 2.0}, 'part_b': {'size': 1.0}}"
    allowed = r"there is no such key; allowed: kind, part_zero, part_<name>"
    for key in ("part_A", "other", 5, True):
        shown = {5: r"\[5\]", True: "true"}.get(key, key)
        with pytest.raises(ConfigError, match=rf"{shown}: {allowed}") as error:
            complete({**given, key: {}}, schema)
        assert "part_a:" not in str(error.value)
    with pytest.raises(ConfigError, match=r"part_a\.size: 'x' must be a number"):
        complete({"part_a": {"size": "x"}}, schema)
    with pytest.raises(ConfigError, match=r"part_zero: 5 must be null"):
        complete({"part_zero": 5}, schema)


# The schema by itself


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_property_has_a_description_fit_for_a_message() -> None:
    assert {"bits", "neighbors", "path", "median", "original"} <= dict(properties()).keys()
    for name, child in properties():
        assert child.get("description"), name
        # Messages put it in parentheses, as the end of a sentence.
        assert not child["description"].endswith("."), name


def only_defaults(branch: dict[str, Any]) -> bool:
    children = branch.get("properties", {}).values()
    return bool(children) and all(
        c is not True and c.keys() <= {"default", "description"} for c in children
    )


def test_every_mapping_refuses_unknown_keys() -> None:
    for node in mappings(SCHEMA):
        if node.get("type") == "object":
            branches = node.get("allOf", [{"then": node}])
            # A branch that only adds a default says nothing of other keys.
            told = [b["then"] for b in branches if "then" in b and not only_defaults(b["then"])]
            told = told or [node]
            assert all("additionalProperties" in b for b in told), node["description"]


def test_defaults_validate() -> None:
    found = [node for node in mappings(SCHEMA) if "default" in node and "description" in node]
    assert len(found) > 30
    for node in found:
        Draft202012Validator({**node, "$defs": DEFS}).validate(node["default"])


# The schema and the code


@pytest.mark.parametrize("kind", sources.KINDS)
def test_no_default_of_a_data_set_lies_outside_the_schema(kind: str) -> None:
    # Kinds index their settings: every key has to be there.
    needed = branch("dataset", kind).get("required", [])
    settings = {"kind": kind} | dict.fromkeys(needed, "images")
    completed = complete(edited({"dataset": settings}), SCHEMA)["dataset"]
    assert completed.keys() == branch("dataset", kind)["properties"].keys()


def test_digits_keep_a_fifth_for_testing() -> None:
    completed = complete(edited({"dataset": {"kind": "digits"}}), SCHEMA)
    assert completed["dataset"]["test_fraction"] == 0.2


def test_glyphs_are_as_many_as_there_are() -> None:
    most = branch("dataset", "glyphs")["properties"]["classes"]["maximum"]
    assert len(glyphs.CHARACTERS) == most


def test_choices_are_those_of_the_registries() -> None:
    from laq.models import networks  # torch
    from laq.qat import grid
    from laq.quantizers import granularity, observers

    compress = DEFS["compress"]["properties"]
    assert DEFS["dataset"]["properties"]["kind"]["enum"] == list(sources.KINDS)
    assert compress["method"]["enum"] == list(methods.METHODS)
    assert compress["alphabet"]["enum"] == list(methods.ALPHABETS)
    assert compress["range"]["enum"] == list(observers.HOWS)
    assert compress["granularity"]["enum"] == list(granularity.KINDS)
    step = [case["required"] for case in DEFS["variant"]["oneOf"]]
    assert step == [[name] for name in recipes.STEPS]
    bits = DEFS["qat"]["properties"]["bits"]
    assert range(bits["minimum"], bits["maximum"] + 1) == grid.BITS
    bits = compress["bits"]
    known = [b for alphabet in methods.ALPHABETS.values() for b in alphabet.bits]
    assert (bits["minimum"], bits["maximum"]) == (min(known), max(known))
    conditions = [case["if"] for case in DEFS["network"]["allOf"]]
    named = [case["properties"]["architecture"] for case in conditions if "properties" in case]
    own = [name for branch in named if "enum" in branch for name in branch["enum"]]
    assert own == list(networks.ARCHITECTURES)
    assert named[-1] == {"not": {"enum": own}}


def test_every_kind_has_a_branch() -> None:
    for definition in ("dataset", "subset"):
        for kind in DEFS[definition]["properties"]["kind"]["enum"]:
            assert "kind" in branch(definition, kind)["properties"]


# The pages; that they are up to date, tests/unit/test_documentation.py says


def reference() -> str:
    """The keys of a study in the reference; those of a replay come after them."""
    text = (ROOT / "docs/reference/config.md").read_text(encoding="utf-8")
    study, _ = text.split("## Replay of published logs")
    return study


def test_the_reference_has_every_key_and_no_other() -> None:
    keys = set(re.findall(r"\*\*`(\w+)(?:: .*?)?`\*\*", reference(), flags=re.S))
    assert keys == dict(properties()).keys()


def test_the_reference_states_the_defaults() -> None:
    text = " ".join(reference().split())
    rows = re.findall(r"\*\*`(\w+): ([^`]+)`\*\*", text)
    others = re.findall(r"#training\), by default (`[^`]+`(?:, `[^`]+`)*)", text)
    trainings = re.findall(r"`(\w+): ([^`]+)`", " ".join(others))
    assert len(others) == 4
    stated = {*rows, *trainings}
    defaults = {
        (name, json.dumps(child["default"]).strip('"'))
        for name, child in properties()
        if "default" in child
    }
    # Those that depend on the alphabet are told in words.
    assert {name for name, _ in defaults - stated} <= {"ridge", "granularity"}
    assert stated <= defaults


def test_every_choice_that_is_explained_is_one_and_none_is_left_out() -> None:
    explained = [node for node in mappings(SCHEMA) if "choices" in node]
    assert len(explained) >= 8
    for node in explained:
        assert list(node["choices"]) == node["enum"], node["description"]


def test_examples_of_the_reference_and_of_the_config_page_are_valid() -> None:
    text = reference() + (ROOT / "config/README.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, flags=re.S)]
    whole = [block for block in blocks if "dataset" in block]
    parts = [block for block in blocks if "dataset" not in block]
    assert whole
    assert len(parts) >= 8
    for part in parts:
        checked(yaml.safe_load(BASE) | part)
    for block in whole:
        completed = complete(block, SCHEMA)
        lists = [d.get("classes", []) for d in completed["subsets"]["definitions"].values()]
        checks.check(completed, [*itertools.chain(*lists), *"abcdefgh"])


def test_every_artifact_and_rule_is_documented_and_no_other() -> None:
    artifacts = documented.TABLE["artifacts"]
    rules = "\n".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    outputs = {
        path
        for block in re.findall(r"\n    output:\n(.*?)\n    \w+:", rules, flags=re.S)
        for path in re.findall(r'"<results>/([^"]+)"', block)
    }
    listed = {path for key in artifacts for path in documented.paths(key)}
    assert len(outputs) > 15
    assert outputs <= listed
    named = {rule for entry in artifacts.values() for rule in documented.paths(entry["rule"])}
    makers = set(re.findall(r"^ *rule (\w+):", rules, flags=re.M))
    assert named <= makers
    text = (ROOT / "results/README.md").read_text(encoding="utf-8")
    targets = makers - named
    assert all(f"`{rule}`" in text for rule in targets), targets


def test_every_column_of_the_reports_is_documented() -> None:
    from laq import training  # torch
    from laq.experiments import evaluation
    from laq.ptq import layer_report

    for path, row in {
        "models/small/training.csv": training.Epoch,
        "accuracy.csv": evaluation.Score,
        "layers/small/even/quant.csv": layer_report.LayerRow,
    }.items():
        assert {field.name for field in dataclasses.fields(row)} <= documented.columns(path), path
