"""The rule graph as Snakemake prints it, and what a diagram takes from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from laq.figures.diagrams import rulegraph, steps
from laq.figures.diagrams.artifacts import count_text, size_text, words
from laq.figures.diagrams.rulegraph import Net, Rule, RuleGraph
from laq.figures.diagrams.steps import points, recipes
from laq.utils.errors import DataError
from laq.utils.files import write_json

SNAKEFILE = """
rule all:
    input: "out/b.csv", expand("out/{x}/c.txt", x=config["names"])

rule draw:
    output: "out/a.npz", report="out/a.txt"
    shell: "false"

rule train:
    input: "out/a.npz"
    output: checkpoint="out/{x}/net.safetensors", history="out/{x}/net.csv"
    wildcard_constraints: x="|".join(config["names"])
    shell: "false"

rule show:
    input: lambda wildcards: f"out/{wildcards.x}/net.safetensors", "out/a.txt"
    output: "out/{x}/c.txt"
    shell: "false"

rule tell:
    input: expand("out/{x}/net.csv", x=config["names"])
    output: "out/b.csv"
    shell: "false"
"""


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RuleGraph:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    monkeypatch.chdir(tmp_path)
    return rulegraph.ask(tmp_path / "Snakefile", {"names": ["one", "two"]})


def test_snakemake_s_own_graph_is_read(printed: RuleGraph) -> None:
    assert set(printed.rules) == {"all", "draw", "train", "show", "tell"}
    wanted = {("draw", "train"), ("train", "show"), ("draw", "show"), ("train", "tell")}
    assert printed.edges == wanted | {("show", "all"), ("tell", "all")}
    assert printed.rules["draw"].outputs == ("out/a.npz", "out/a.txt")


def test_every_arrow_carries_the_files_that_are_asked_for(printed: RuleGraph) -> None:
    nets = printed.without(["all"]).nets()
    carried = {(net.source, target): net.files for net in nets for target in net.targets}
    assert carried["draw", "train"] == ("out/a.npz",)
    assert carried["draw", "show"] == ("out/a.txt",)
    # Named by a function: the network; as a pattern: the table.
    assert [Path(file).name for file in carried["train", "show"]] == ["net.safetensors"]
    assert [Path(file).name for file in carried["train", "tell"]] == ["net.csv"]


def test_asking_for_the_graph_leaves_nothing_behind(printed: RuleGraph, tmp_path: Path) -> None:
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".snakemake/log/*"))
    assert not list(tmp_path.glob(".snakemake/locks/*"))


def test_what_snakemake_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Snakefile").write_text('rule all:\n    input: "nowhere.txt"\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"nowhere\.txt"):
        rulegraph.ask(tmp_path / "Snakefile", {"a": 1})


def test_a_text_that_is_no_graph_is_refused() -> None:
    with pytest.raises(DataError, match="holds no rule"):
        rulegraph.parse("digraph snakemake_dag {}")


@pytest.mark.parametrize(
    ("pattern", "file", "same"),
    [
        ("r/{a,x|y}.csv", "r/x.csv", True),
        ("r/{a,x|y}.csv", "r/z.csv", False),
        ("r/{a}.csv", "r/{a}.csv", True),
        ("r/{a,x}.csv", "r/{a}.csv", True),
        ("r/a.csv", "r/aXcsv", False),
        ("r/{a}/b.csv", "r/x/y/b.csv", True),
    ],
)
def test_patterns_match_the_files_they_make(pattern: str, file: str, same: bool) -> None:
    assert rulegraph.same_file(pattern, file) is same


def graph(*edges: str) -> RuleGraph:
    """Rules named by letters; ``ab`` says that b takes a's file."""
    names = sorted(set("".join(edges)))
    inputs = {n: tuple(f"{e[0]}.csv" for e in edges if e[1] == n) for n in names}
    rules = {n: Rule(n, inputs[n], (f"{n}.csv",)) for n in names}
    return RuleGraph(rules, frozenset((e[0], e[1]) for e in edges))


def test_files_that_go_to_the_same_rules_share_an_arrow() -> None:
    rules = {
        "a": Rule("a", (), ("x", "y", "z", "unread")),
        "b": Rule("b", ("x", "y"), ()),
        "c": Rule("c", ("x", "y", "z"), ()),
    }
    nets = RuleGraph(rules, frozenset({("a", "b"), ("a", "c")})).nets()
    assert nets == [Net("a", ("x", "y"), ("b", "c")), Net("a", ("z",), ("c",))]


def test_the_road_before_a_rule_and_what_hangs_on_it_alone() -> None:
    made = graph("ab", "bc", "ax", "cy", "cz", "zw")
    assert made.before("c") == {"a", "b", "c"}
    assert made.only_from({"a", "b", "c"}) == {"x", "y"}  # z has a taker, w needs z
    assert made.before("nowhere") == set()


def test_a_rule_that_takes_from_itself_has_no_arrow() -> None:
    assert [net.source for net in graph("ab", "bb").nets()] == ["a"]


def test_the_two_figures_share_out_all_rules() -> None:
    made = graph("ab", "bl", "ax", "bv", "vw", "vz").rules
    names = {"l": steps.LAST}
    rules = {
        names.get(n, n): Rule(names.get(n, n), rule.inputs, rule.outputs)
        for n, rule in made.items()
    }
    edges = {("a", "b"), ("b", steps.LAST), ("a", "x"), ("b", "v"), ("v", "w"), ("v", "z")}
    whole = RuleGraph(rules, frozenset(edges))
    stages = dict.fromkeys(rules, "stage")
    first, _ = steps.part(whole, "preprocessing", {}, stages, [], {}, None)
    second, arrows = steps.part(whole, "experiment", {}, stages, [], {}, None)
    own = [name for step in second.values() if not step.before for name in step.titles]
    assert sorted([*first, *own]) == sorted(rules)
    assert [name for name, step in second.items() if step.before] == ["b"]
    assert second["w"].titles == ("w", "z")  # ends of the road that take the same
    assert {(arrow.source, arrow.targets) for arrow in arrows} == {("b", ("v",)), ("v", ("w",))}
    assert {(arrow.source, arrow.name) for arrow in arrows} == {("b", "b.csv"), ("v", "v.csv")}


def test_artifacts_tell_their_shape(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((7, 3, 2, 2), np.uint8), labels=np.zeros(7))
    assert words([tmp_path / "a.npz"]) == "7 × 3 × 2 × 2 uint8"
    vectors = pd.DataFrame({"index": [0, 1], "features": [np.zeros(5, np.float32)] * 2})
    vectors.to_parquet(tmp_path / "v.parquet")
    assert words([tmp_path / "v.parquet"]) == "2 × 5 float32"
    plane = pd.DataFrame({"label": [1, 2, 3], "umap_1": [0.5] * 3, "umap_2": [0.5] * 3})
    plane.to_parquet(tmp_path / "p.parquet")
    assert words([tmp_path / "p.parquet"]) == "3 × 2 float64"
    write_json(tmp_path / "names.json", ["a", "b"])
    assert words([tmp_path / "names.json"]) == "2 names"
    for name, classes in (("s1", ["a"]), ("s2", ["a", "b", "c"])):
        write_json(tmp_path / f"{name}.json", {"classes": classes})
    assert words([tmp_path / "s1.json", tmp_path / "s2.json"]) == "1–3 classes (× 2)"
    (tmp_path / "t.csv").write_text('a,b\n1,"two\nlines"\n3,4\n')
    assert words([tmp_path / "t.csv"]) == "2 rows"


def test_networks_tell_their_weights_unless_they_are_packed(tmp_path: Path) -> None:
    floats, packed = tmp_path / "f.safetensors", tmp_path / "q.safetensors"
    save_file({"w": torch.zeros(1000, 200), "n": torch.zeros(3, dtype=torch.int64)}, floats)
    save_file({"w.codes.0": torch.zeros(500, dtype=torch.uint8)}, packed)
    assert words([floats]) == f"0.20 M weights, {size_text(floats.stat().st_size)}"
    assert words([packed]) == size_text(packed.stat().st_size)


def test_of_what_is_not_there_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "fig.pdf").write_bytes(b"%PDF")
    assert words([tmp_path / "none.csv"]) == words([]) == words([tmp_path / "fig.pdf"]) == ""


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (462_044, "462 kB"),
        (999_999, "1.00 MB"),
        (3_450_472, "3.45 MB"),
        (12_345_678_901, "12.3 GB"),
    ],
)
def test_sizes_have_three_digits(size: int, text: str) -> None:
    assert size_text(size) == text


def test_counts_have_three_digits() -> None:
    assert [count_text(n) for n in (7, 12_340, 860_000, 25_600_000)] == [
        "7",
        "12.3 k",
        "0.86 M",
        "25.6 M",
    ]


def test_recipes_tell_what_is_shared_once_and_what_differs_each_time() -> None:
    common = {"method": "gpfq", "images": 64, "skip_layers": []}
    variants = {
        "original": {},
        "quant": {"compress": {**common, "bits": 4, "classes": "subset"}, "parent": "original"},
        "control": {"compress": {**common, "bits": 4, "classes": "all"}, "repeats": 3},
        "mixed": {"compress": {**common, "bits": [5, 3], "classes": "subset"}, "parent": "ft"},
        "ft": {"finetune": {"epochs": 1, "learning_rate": 0.0003, "batch_size": 8}},
    }
    assert recipes(variants, "compress") == [
        "every variant: GPFQ, 64 calibration images",
        "quant: 4 bits, subset's classes",
        "control: 4 bits, all classes, 3 seeds",
        "mixed: 5 + 3 bits, subset's classes, from ft",
    ]
    assert recipes(variants, "finetune") == ["ft: 1 epoch, rate 0.0003"]
    assert recipes({"original": {}}, "compress") == []
    trained = {"method": "lsq", "bits": 2, "epochs": 5, "classes": "all"}
    lsq = {"qat": {**trained, "activations": {"bits": 8}}, "parent": "ft"}
    assert recipes({"lsq": lsq}, "qat") == ["lsq: LSQ, 2 bits, 5 epochs, all classes, from ft"]
    both = {"lsq": lsq, "float": {"qat": trained}}
    assert recipes(both, "qat")[1:] == ["lsq: inputs of 8 bits, from ft", "float"]
    bits = {"bits_conv": 8, "bits_linear": 5}
    scan = {"pruning": "scan", "rounds": 5, **bits, "epochs": 9, "classes": "subset"}
    hand = {**scan, "pruning": "ratios", "ratios": {"fc1": 0.08, "fc2": 0.1}}
    assert recipes({"a": {"deep": scan}, "b": {"deep": hand}}, "deep") == [
        "every variant: rounds 5, conv of 8 bits, linear of 5 bits, 9 epochs, subset's classes",
        "a: pruning scan",
        "b: pruning ratios, keeps fc1 0.08, fc2 0.1",
    ]


def test_a_setting_that_differs_is_told_whatever_it_is() -> None:
    base = {"method": "gpfq", "bits": 4, "images": 64, "classes": "subset"}
    variants = {
        "a": {"compress": {**base, "fold_batchnorm": True, "skip_layers": ["fc"]}},
        "b": {"compress": {**base, "fold_batchnorm": False, "skip_layers": []}},
    }
    assert recipes(variants, "compress")[1:] == [
        "a: fold batchnorm yes, skip layers fc",
        "b: fold batchnorm no, skip layers none",
    ]


def test_a_sweep_tells_its_points() -> None:
    assert points({"variant": "quant", "bits": [2, 4], "images": []}) == [
        "from quant, subset's and all classes",
        "bits: 2, 4",
    ]
