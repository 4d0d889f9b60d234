"""Configs that cannot be run are refused before any job, in words that say what to mend."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import itertools
import re
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from laq.config import checks, study
from laq.config import recipes as steps
from laq.config.schema import complete
from laq.data import cifar
from laq.utils.errors import ConfigError
from tests.configs import BASE, ROOT, SCHEMA, checked, edited
from tests.logs import row, write

GLYPHS = [f"digit_{digit}" for digit in range(10)]

FAULTS = (ROOT / "tests/bad_configs.yaml").read_text()
CASES = yaml.safe_load(FAULTS)


def faults(config: Any) -> list[str]:
    """The lines of the message, each a fault."""
    with pytest.raises(ConfigError) as caught:
        checked(config)
    title, *lines = str(caught.value).split("\n")
    assert title == "the config is not valid:"
    assert all(line.startswith("  ") and line.strip() for line in lines)
    return [line.strip() for line in lines]


@pytest.mark.parametrize(("edits", "says"), [(c[0], c[1:]) for c in CASES.values()], ids=CASES)
def test_a_fault_is_refused_by_key_value_and_remedy(edits: dict, says: list[str]) -> None:
    (line,) = faults(edited(edits))
    for fragment in says:
        assert fragment in line


def test_the_base_is_valid_and_no_fault_is_listed_twice() -> None:
    checked(yaml.safe_load(BASE))
    # A key given twice would drop the first case without a word.
    names = re.findall(r"^([^\s#-][^:\n]*):", FAULTS, flags=re.M)
    assert sorted(names) == sorted(CASES)


def test_a_circle_of_parents_names_all_who_are_in_it() -> None:
    edits = {"variants/ft/parent": "ft2", "variants/ft2": {"parent": "ft", "finetune": {}}}
    assert faults(edited(edits)) == [
        "variants.ft.parent: 'ft2' leads back to ft; a line starts from original",
        "variants.ft2.parent: 'ft' leads back to ft2; a line starts from original",
    ]


def test_all_faults_are_reported_at_once() -> None:
    edits = {"seed": -1, "variants/quant/compress/bits": 0, "dataset/kind": "x", "sed": 1}
    keys = {line.split(":")[0] for line in faults(edited(edits))}
    assert keys == {"seed", "variants.quant.compress.bits", "dataset.kind", "sed"}
    edits = {
        "features/source": "x",
        "subsets/size": 11,
        "subsets/definitions/named/classes": ["x", "y"],
        "variants/ft/parent": "x",
        "variants/again": {"compress": {"bits": 4}},
    }
    keys = [line.split(":")[0] for line in faults(edited(edits))]
    assert keys == [
        "features.source",
        "subsets.size",
        "subsets.definitions.named.classes",
        "subsets.definitions.named.classes",
        "variants.ft.parent",
        "variants.again",
    ]


STUDIES = [p for p in sorted((ROOT / "config").glob("*.yaml")) if p.name != "published.yaml"]


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.name)
def test_configs_that_come_along_are_valid(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = yaml.safe_load(path.read_text())
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    definitions = config["subsets"]["definitions"]
    if config["dataset"]["kind"] == "image_folder":  # what it names is the user's
        listed = [definition.get("classes", []) for definition in definitions.values()]
        for name in [*itertools.chain(*listed), *cifar.CIFAR100]:
            image = here / config["dataset"]["path"] / name / "1.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            image.touch()
    for network in config["networks"].values():
        if network.get("weights", {}).get("source") == "file":
            file = here / network["weights"]["file"]
            file.parent.mkdir()
            file.touch()
    logs = [definition["file"] for definition in definitions.values() if "file" in definition]
    for log in {*logs, *config.get("replication", {}).get("logs", {}).values()}:
        (here / log).parent.mkdir(parents=True, exist_ok=True)
        pairs = zip(cifar.CIFAR100, cifar.CIFAR100[1:], strict=False)
        write(here / log, [row((1, 2), Subset_Classes=str(list(pair))) for pair in pairs])
    checked(config)


# Subsets and variants


def expanded(definitions: dict[str, Any], **edits: Any) -> dict[str, dict[str, Any]]:
    config = checked(edited({"subsets/definitions": definitions} | edits))
    return study.subsets(config, GLYPHS)


def test_subsets_are_expanded() -> None:
    found = expanded(
        {
            "near": {"kind": "similar"},
            "far": {"kind": "dissimilar", "count": 2},
            "t": {"kind": "target", "count": 10},
            "one": {"kind": "target", "median": 3},
            "named": {"kind": "classes", "classes": ["digit_7", "digit_2"]},
        },
        **{"subsets/scale": "log"},
    )
    series = {"kind": "target", "size": 4, "scale": "log", "count": 10}
    assert list(found.items()) == [
        ("near", {"kind": "similar", "size": 4, "rank": 0}),
        ("far_1", {"kind": "dissimilar", "size": 4, "rank": 0}),
        ("far_2", {"kind": "dissimilar", "size": 4, "rank": 1}),
        *((f"t_{rank + 1:02d}", series | {"rank": rank}) for rank in range(10)),
        ("one", {"kind": "target", "size": 4, "median": 3.0}),
        ("named", {"kind": "classes", "indices": [2, 7]}),
    ]


def test_variants_are_told_apart_by_their_step() -> None:
    config = checked(yaml.safe_load(BASE))
    assert study.variants_with(config, "finetune") == ["ft"]
    assert study.variants_with(config, "compress") == ["quant", "ft_quant"]
    config = checked(edited({"variants/lsq": {"parent": "ft", "qat": {"bits": 2}}}))
    assert study.variants_with(config, *steps.STEPS) == ["ft", "quant", "ft_quant", "lsq"]
    assert study.trained_variants(config) == ["ft", "lsq"]
    assert study.packed_variants(config) == ["quant", "ft_quant", "lsq"]


def test_a_setting_that_its_method_does_not_use_makes_no_other_training() -> None:
    lsq = {"bits": 2, "skip_layers": ["b", "a"]}
    same = [{"pull": 3}, {"skip_layers": ["a", "b"]}, {"momentum": 0.5}, {"method": "lsq"}]
    for changes in same:
        edits = {"variants/one": {"qat": lsq}, "variants/two": {"qat": {**lsq, **changes}}}
        with pytest.raises(ConfigError, match="two: alike with one"):
            checked(edited(edits))
    prox = {"bits": 2, "method": "prox"}
    for base, changes in (
        (lsq, {"step_rate": 2}),
        (lsq, {"activations": {"bits": 8}}),
        (prox, {"pull": 3}),
        ({**prox, "activations": {"bits": 8}}, {"step_rate": 2}),
    ):
        edits = {"variants/one": {"qat": base}, "variants/two": {"qat": {**base, **changes}}}
        assert len(checked(edited(edits))["variants"]) == 6
    with pytest.raises(ConfigError, match="two: alike with one"):
        edits = {"variants/one": {"qat": prox}, "variants/two": {"qat": {**prox, "step_rate": 2}}}
        checked(edited(edits))


def test_settings_of_deep_compression_that_are_not_in_use_make_no_other_network() -> None:
    scan = {"skip_layers": ["b", "a"], "rounds": 1}
    hand = {"pruning": "ratios", "ratios": {"a": 0.5}, "tuning_epochs": 0}
    for base, changes in (
        (scan, {"skip_layers": ["a", "b"]}),
        (scan, {"ratios": {"a": 0.1}, "quality": 2, "round_epochs": 3, "momentum": 0.5}),
        (hand, {"density": 0.5, "held_back": 0.2, "tuning_rate": 0.1}),
        (hand, {"ratios": {"a": 0.5, "b": 1}}),
    ):
        edits = {"variants/one": {"deep": base}, "variants/two": {"deep": {**base, **changes}}}
        with pytest.raises(ConfigError, match="two: alike with one"):
            checked(edited(edits))
    for base, changes in (
        *((scan, {key: value}) for key, value in (("density", 0.2), ("held_back", 0.2))),
        *(({}, {key: 3}) for key in ("rounds", "round_epochs", "bits_conv", "tuning_epochs")),
        *((scan, {key: value}) for key, value in (("coder", "ans"), ("initial", "random"))),
        *((scan, {key: value}) for key, value in (("index_bits", 5), ("classes", "all"))),
        (hand, {"ratios": {"a": 0.4}}),
        ({"pruning": "deviation"}, {"quality": 2}),
    ):
        edits = {"variants/one": {"deep": base}, "variants/two": {"deep": {**base, **changes}}}
        assert len(checked(edited(edits))["variants"]) == 6


@hypothesis.settings(deadline=None)  # the first imports torch
@given(
    key=st.sampled_from(["training", "finetune"]),
    settings=st.fixed_dictionaries(
        {},
        optional={
            "optimizer": st.sampled_from(["sgd", "adamw"]),
            "momentum": st.sampled_from([0, 0.5]),
            "schedule": st.sampled_from(["one_cycle", "cosine", "step", "constant"]),
            "warmup": st.sampled_from([0, 1]),
            "milestones": st.sampled_from([[2], [3, 2], [2, 3]]),
            "factor": st.sampled_from([0.1, 0.5]),
            "weight_decay": st.sampled_from([0, 0.1]),
            "decay_norms": st.booleans(),
            "shift": st.sampled_from([0, 2]),
            "flip": st.booleans(),
            "erase": st.sampled_from([0, 2]),
            "policy": st.sampled_from(["none", "trivial"]),
            "processes": st.sampled_from([1, 2]),
            "gradient_bits": st.sampled_from([8, 32]),
        },
    ),
)
def test_settings_of_training_that_are_left_out_make_no_difference(key, settings) -> None:
    from laq.training import FINETUNING, TRAINING, Recipe  # torch

    properties = SCHEMA["$defs"][key]["properties"]
    completed = {name: child["default"] for name, child in properties.items()} | settings
    effect = steps.training_effect(completed)
    defaults = {"training": TRAINING, "finetune": FINETUNING}[key]
    whole, short = (Recipe.of(defaults, given) for given in (completed, effect))
    differ = {
        field.name
        for field in dataclasses.fields(Recipe)
        if getattr(whole, field.name) != getattr(short, field.name)
    }
    unused = {"momentum"} if whole.optimizer == "adamw" else set()
    unused |= {"warmup"} if whole.schedule == "one_cycle" else set()
    unused |= {"factor"} if whole.schedule != "step" else set()
    unused |= {"decay_norms"} if not whole.weight_decay else set()
    unused |= {"gradient_bits"} if whole.processes == 1 else set()
    # In which order milestones stand is as little a difference.
    assert differ <= unused | {"milestones"}
    assert whole.schedule != "step" or set(short.milestones) == set(whole.milestones)
    # And equal for all that differ in these alone.
    assert steps.training_effect({**completed, **dict.fromkeys(unused, 0.7)}) == effect


def test_repeats_are_made_from_the_parents_own_and_have_ids_of_no_variant() -> None:
    edits = {"variants/ft/repeats": 2, "variants/ft_quant/repeats": 3, "variants/quant/repeats": 2}
    made = study.made_variants(checked(edited(edits)))
    assert list(made) == [
        *("original", "quant", "quant-2", "ft", "ft-2", "ft_quant", "ft_quant-2", "ft_quant-3")
    ]
    parents = {name: recipe.get("parent") for name, recipe in made.items()}
    assert parents["quant-2"] == "original"
    assert [parents[f"ft_quant{end}"] for end in ("", "-2", "-3")] == ["ft", "ft-2", "ft"]
    assert (made["ft-2"]["variant"], made["ft-2"]["repeat"]) == ("ft", 2)
    assert made["ft"] == {**made["ft-2"], "repeat": 1}


# Fuzz

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 40)
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=4)
    | st.just(datetime.date(2024, 2, 1))
    | st.sampled_from(
        ["quant", "ft", "original", "target", "target_1", "classes", "digit_1", "1e-4"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "count", "bits", "compress"]) | SCALARS, inner)
    ),
    max_leaves=5,
)


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a nested config."""
    keys = list(node) if isinstance(node, dict) else range(len(node))
    own = [(node, key) for key in keys]
    return own + [
        p for _, key in own if isinstance(node[key], dict | list) for p in places(node[key])
    ]


def mutate(config: Any, data: st.DataObject) -> None:
    """Replace, remove, rename, add or exchange something somewhere."""
    container, key = data.draw(st.sampled_from(places(config)))
    action = data.draw(st.sampled_from(["replace", "remove", "rename", "add", "exchange"]))
    if action == "replace":
        container[key] = data.draw(VALUES)
    elif action == "remove":
        del container[key]
    elif action == "exchange":
        other, place = data.draw(st.sampled_from(places(config)))
        container[key] = copy.deepcopy(other[place])
    elif isinstance(container, dict):
        added = data.draw(SCALARS)
        container[added] = container.pop(key) if action == "rename" else data.draw(VALUES)
    else:
        container.append(data.draw(VALUES))


@given(data=st.data())
def test_whatever_is_done_to_a_config_it_is_taken_or_refused(data: st.DataObject) -> None:
    config = checked(yaml.safe_load(BASE)) if data.draw(st.booleans()) else yaml.safe_load(BASE)
    for _ in range(data.draw(st.integers(1, 3))):
        if places(config):
            mutate(config, data)
    before = copy.deepcopy(config)
    try:
        completed = complete(config, SCHEMA)
        names = GLYPHS[: completed["dataset"].get("classes", 10)]
        checks.check(completed, names)
    except ConfigError as error:
        assert len(str(error).split("\n")) > 1
    else:
        assert complete(completed, SCHEMA) == completed
        found = study.subsets(completed, names)
        assert found
        assert all(re.fullmatch("[a-z][a-z0-9_]*", name) for name in found)
    # NaN is no equal of itself.
    assert repr(config) == repr(before)


IDS = st.sampled_from(["a", "b", "a_1", "a_01", "b_2"])
CLASSES = st.lists(st.sampled_from([*GLYPHS, "cat"]), min_size=2, max_size=4, unique=True)
DEFINITION = (
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["similar", "dissimilar", "random", "target"])}
        | {"count": st.integers(1, 12)}
    )
    | st.fixed_dictionaries({"kind": st.just("target"), "median": st.floats(0.1, 9)})
    | st.fixed_dictionaries({"kind": st.just("classes"), "classes": CLASSES})
)
PARENT = st.fixed_dictionaries(
    {}, optional={"parent": st.sampled_from(["original", "a", "b", "c"])}
)
STEP = st.builds(lambda n: {"finetune": {"epochs": n}}, st.integers(1, 3)) | st.builds(
    lambda step, n: {step: {"bits": n}}, st.sampled_from(["compress", "qat"]), st.integers(2, 4)
)
RECIPE = st.builds(lambda parent, step: parent | step, PARENT, STEP)


@given(
    size=st.integers(2, 11),
    definitions=st.dictionaries(IDS, DEFINITION, min_size=1, max_size=3),
    variants=st.dictionaries(st.sampled_from("abcd"), RECIPE, max_size=4),
)
def test_what_is_taken_can_be_made(size: int, definitions: dict, variants: dict) -> None:
    edits = {"subsets/size": size, "subsets/definitions": definitions}
    try:
        config = checked(edited(edits | {"variants": {"original": {}} | variants}))
    except ConfigError:
        return
    found = study.subsets(config, GLYPHS)
    assert len(found) == sum(definition.get("count", 1) for definition in definitions.values())
    assert len({repr(definition) for definition in found.values()}) == len(found)
    assert all(definition.get("size", 2) <= len(GLYPHS) for definition in found.values())
    # Made one after the other: each as soon as its parent, which is in float, is there.
    made, waiting = {"original"}, dict(config["variants"])
    del waiting["original"]
    while ready := [name for name, recipe in waiting.items() if recipe["parent"] in made]:
        for name in ready:
            recipe = waiting.pop(name)
            if "finetune" in recipe:
                made.add(name)
    assert not waiting


def test_superclasses_become_a_subset_each_under_an_id_of_their_name() -> None:
    groups = {"Odd, large": ["digit_9", "digit_1"], "gerade Zähler": ["digit_0", "digit_2"]}
    edits = {
        "dataset/superclasses": groups,
        "subsets/definitions": {"by": {"kind": "superclasses"}},
    }
    config = checked(edited(edits | {"subsets/size": 11}))  # each has a size of its own
    assert study.subsets(config, GLYPHS) == {
        "by_odd_large": {
            "kind": "superclasses",
            "superclass": "Odd, large",
            "indices": [1, 9],
        },
        "by_gerade_zahler": {
            "kind": "superclasses",
            "superclass": "gerade Zähler",
            "indices": [0, 2],
        },
    }


def test_settings_of_activations_that_are_not_used_make_no_difference() -> None:
    def effect(**settings: Any) -> Any:
        variant = checked(edited({"variants/quant/compress": {"bits": 8, **settings}}))
        return study.effect(variant["variants"]["quant"])["compress"]

    plain = effect()
    assert plain.keys().isdisjoint(("activations", "inference"))
    assert effect(activations=None, inference="simulated") == plain
    assert effect(activations={"range": "mse", "percentile": 50}) == effect(
        activations={"range": "mse"}
    )
    assert effect(activations={"mode": "dynamic", "range": "kl"}) == effect(
        activations={"mode": "dynamic"}
    )
    assert effect(activations={"range": "percentile", "percentile": 50}) != effect(
        activations={"range": "percentile"}
    )
    assert effect(activations={}) != plain


def test_a_control_differs_in_its_calibration_alone():
    compress = {"bits": 3}
    config = checked(
        edited(
            {
                "variants/three": {"compress": compress},
                "variants/control": {"compress": compress | {"classes": "all"}},
                "variants/other": {"compress": {"bits": 2, "classes": "all"}},
                "variants/ft_control": {"parent": "ft", "compress": {"bits": 4, "classes": "all"}},
            }
        )
    )
    assert study.agnostic_controls(config) == {"three": "control", "ft_quant": "ft_control"}
