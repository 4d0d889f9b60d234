"""The profile for SLURM against the rules and the default profile; no cluster is needed."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from pathlib import Path

import yaml

from tests.workflow.conftest import CONFIG, PROJECT, Checkout

# Those that are jobs; others name targets.
RULES = {
    name: body
    for path in (PROJECT / "workflow/rules").glob("*.smk")
    for name, body in re.findall(
        r"^ *rule (\w+):\n(.*?)(?=^ *rule |\Z)", path.read_text(), re.M | re.S
    )
    if " script:\n" in body
}


def profile(name: str, text: str | None = None) -> dict:
    return yaml.safe_load(text or (PROJECT / f"profiles/{name}/config.yaml").read_text())


def with_subsets() -> dict:
    """The profile with the lines that group a subset's jobs."""
    text = (PROJECT / "profiles/slurm/config.yaml").read_text()
    return profile("slurm", re.sub(r"^  # (\w+: subset)$", r"  \1", text, flags=re.M))


def test_the_two_profiles_share_no_key():
    # Snakemake lets one replace the other's key as a whole.
    assert not profile("slurm").keys() & profile("default").keys()


def test_every_rule_without_a_gpu_shares_a_job_or_has_reason_not_to():
    # They take time.
    alone = {"make_dataset", "export_onnx", "evaluate_onnx"}
    small = {name for name, body in RULES.items() if "gpu=" not in body} - alone
    assert profile("slurm")["groups"].keys() == small
    assert with_subsets()["groups"].keys() - small == {
        "finetune_network",
        "compress_network",
        "train_quantized",
        "deep_compress_network",
        "evaluate_subset",
    }


def test_memory_and_time_of_every_rule_grow():
    for name, body in RULES.items():
        for resource in ("mem_mb", "runtime"):
            assert re.search(rf"^ +{resource}=growing\(", body, re.M), (name, resource)


def test_no_group_waits_for_itself(tmp_path: Path) -> None:
    # Drawn as one node each, groups must leave a graph without circles.
    checkout = Checkout.create(tmp_path / "laq")
    study = yaml.safe_load((checkout.path / CONFIG).read_text())
    (checkout.path / "whole.yaml").write_text(
        yaml.safe_dump(study | {"deploy": {"variants": ["quant"]}})
    )
    drawn = checkout.run("--rulegraph", "--forceall", config="whole.yaml")
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)', drawn, re.M))
    assert len(names) > 25
    groups = with_subsets()["groups"]
    graph: dict[str, set[str]] = {}
    for edge in re.findall(r"^\s*(\d+) -> (\d+)", drawn, re.M):
        before, after = (groups.get(names[end], names[end]) for end in edge)
        if before != after:
            graph.setdefault(after, set()).add(before)
    assert {"subsets", "subset", "tables"} <= graph.keys()
    assert list(TopologicalSorter(graph).static_order())
