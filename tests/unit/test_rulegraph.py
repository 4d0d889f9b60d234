"""The rule graph as Snakemake prints it, and what the boxes of figures 2 and 3 say."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from laq.figures import rulegraph
from laq.figures.rulegraph import LAST, content, outputs, part, recipes
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


def test_snakemake_s_own_graph_is_read_and_nothing_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    monkeypatch.chdir(tmp_path)
    graph = rulegraph.ask(tmp_path / "Snakefile", {"names": ["one", "two"]})
    assert set(graph) == {"all", "draw", "train", "show", "tell"}
    wanted = {("draw", "train"), ("train", "show"), ("draw", "show"), ("train", "tell")}
    assert set(graph.edges) == wanted | {("show", "all"), ("tell", "all")}
    assert graph.nodes["draw"]["outputs"] == ["out/a.npz", "out/a.txt"]
    assert graph.nodes["train"]["outputs"][0] == "out/{x,one|two}/net.csv"
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


def test_the_two_figures_share_out_all_rules() -> None:
    graph = nx.DiGraph([("a", "b"), ("b", LAST), ("a", "x"), ("b", "v"), ("v", "w"), ("v", "z")])
    nx.set_node_attributes(graph, {rule: [f"{rule}.csv"] for rule in graph}, "outputs")
    words = {"v": "Do it."}
    first = part(graph, "preprocessing", words, [], {}, None)
    second = part(graph, "experiment", words, [], {}, None)
    own = [rule for rule, before in second.nodes(data="before") if not before]
    assert sorted([*first, *own]) == sorted(graph)
    assert set(second) - set(own) == {"b"}
    assert set(second.edges) == {("b", "v"), ("v", "w"), ("v", "z")}
    assert second.nodes["b"]["text"] == ["from figure 2", "→ b.csv"]
    assert second.nodes["v"]["text"] == ["Do it.", "→ v.csv"]


def test_outputs_tell_what_the_files_of_their_pattern_hold(tmp_path: Path) -> None:
    for name, rows in (("x", 2), ("y", 3), ("other", 9)):
        pd.DataFrame({"a": range(rows)}).to_csv(tmp_path / f"{name}.csv", index=False)
    files = [str(tmp_path / f"{name}.csv") for name in ("x", "y", "other", "none")]
    patterns = [f"{tmp_path}/{{name,x|y}}.csv", "fig.pdf", "fig.png"]
    assert outputs(patterns, files) == ["→ {name}.csv: 2 rows to 3 rows (×2)", "→ fig.pdf"]


def test_artifacts_tell_their_shape(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((7, 3, 2, 2), np.uint8), labels=np.zeros(7))
    assert content([tmp_path / "a.npz"]) == "7 × 3 × 2 × 2 uint8"
    vectors = pd.DataFrame({"index": [0, 1], "features": [np.zeros(5, np.float32)] * 2})
    vectors.to_parquet(tmp_path / "v.parquet")
    assert content([tmp_path / "v.parquet"]) == "2 × 5 float32"
    plane = pd.DataFrame({"label": [1, 2, 3], "umap_1": [0.5] * 3, "umap_2": [0.5] * 3})
    plane.to_parquet(tmp_path / "p.parquet")
    assert content([tmp_path / "p.parquet"]) == "3 × 2 float64"
    write_json(tmp_path / "names.json", ["a", "b"])
    assert content([tmp_path / "names.json"]) == "2 classes"
    write_json(tmp_path / "subset.json", {"classes": ["a", "b", "c"]})
    assert content([tmp_path / "subset.json"]) == "3 classes"
    (tmp_path / "t.csv").write_text('a,b\n1,"two\nlines"\n3,4\n')
    assert content([tmp_path / "t.csv"]) == "2 rows"
    (tmp_path / "t.csv").write_bytes(b"")
    with pytest.raises(DataError, match=r"t\.csv cannot be read"):
        content([tmp_path / "t.csv"])


def test_networks_tell_their_weights_unless_they_are_packed(tmp_path: Path) -> None:
    floats, packed = tmp_path / "f.safetensors", tmp_path / "q.safetensors"
    save_file({"w": torch.zeros(1000, 200), "n": torch.zeros(3, dtype=torch.int64)}, floats)
    save_file({"w.codes.0": torch.zeros(500, dtype=torch.uint8)}, packed)
    assert content([floats]) == "200.0 k weights, 800.2 kB"
    assert content([packed]) == "580.0 B"


def test_recipes_tell_the_main_settings_and_those_that_differ() -> None:
    common = {"method": "gpfq", "images": 64, "ridge": 0.1}
    variants = {
        "original": {},
        "quant": {"compress": {**common, "bits": 4, "classes": "subset"}, "parent": "original"},
        "mixed": {"compress": {**common, "bits": [5, 3], "classes": "subset"}, "parent": "ft"},
        "control": {"compress": {**common, "ridge": 0, "bits": 4, "classes": "all"}, "repeats": 3},
        "ft": {"finetune": {"epochs": 1, "learning_rate": 0.0003, "batch_size": 8}},
    }
    assert recipes(variants, "compress") == [
        "quant: method gpfq, bits 4, images 64, classes subset, ridge 0.1",
        "mixed: method gpfq, bits [5, 3], images 64, classes subset, ridge 0.1, from ft",
        "control: method gpfq, bits 4, images 64, classes all, ridge 0, 3 seeds",
    ]
    assert recipes(variants, "finetune") == ["ft: epochs 1, learning_rate 0.0003"]
    assert recipes(variants, "qat") == []
