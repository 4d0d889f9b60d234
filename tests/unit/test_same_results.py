"""The comparison of two runs, byte for byte."""

from __future__ import annotations

from pathlib import Path

from tests.same_results import differences


def test_what_differs_is_named_and_what_may_differ_is_not(tmp_path: Path) -> None:
    first, other = tmp_path / "first", tmp_path / "other"
    for root, column, top1 in ((first, "inside", 0.5), (other, "in_subset", 0.5)):
        (root / "logs").mkdir(parents=True)
        (root / "accuracy.csv").write_text(f"{column},top1\n3,{top1}\n")
        (root / "zoo.seconds.csv").write_text(str(root))
        (root / "provenance.json").write_text(str(root))
        (root / "logs/job.csv").write_text(str(root))
    assert list(differences(first, other, {"inside": "in_subset"})) == []
    assert list(differences(first, other, {})) == ["other bytes: accuracy.csv"]
    (other / "model.safetensors").write_bytes(b"1")
    assert list(differences(first, other, {"inside": "in_subset"})) == [
        f"only in {other}: model.safetensors"
    ]
