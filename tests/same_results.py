"""Whether two runs of a study left the same bytes: ``python -m tests.same_results FIRST OTHER``.

Compares every CSV, JSON, Parquet, safetensors and npz file of two result folders. Logs, times, and
what tells of the sources and the machine (provenance) are left out. ``--rename old=new`` takes a
word in FIRST's tables and names for its new one; of checkpoints, whose digests are over these
words too, descriptions are then compared without digests. Prints what differs, and ends with 1 if
anything does.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

SUFFIXES = {".csv", ".json", ".parquet", ".safetensors", ".npz"}
TEXTS = {".csv", ".json"}
LEFT_OUT = ("logs/", "benchmarks/", "report/", "provenance.json")


def files(root: Path) -> set[str]:
    """Names of the files that hold results, relative to ``root``."""
    names = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.suffix in SUFFIXES}
    return {name for name in names if not name.startswith(LEFT_OUT) and ".seconds." not in name}


def renamed(text: str, renames: Mapping[str, str]) -> str:
    for old, new in renames.items():
        text = text.replace(old, new)
    return text


def differences(first: Path, other: Path, renames: Mapping[str, str]) -> Iterator[str]:
    """What is in one folder only, or has other bytes."""
    ours, theirs = {renamed(name, renames): name for name in files(first)}, files(other)
    yield from (f"only in {first}: {ours[name]}" for name in sorted(ours.keys() - theirs))
    yield from (f"only in {other}: {name}" for name in sorted(theirs - ours.keys()))
    for name in sorted(ours.keys() & theirs):
        before, after = (first / ours[name]).read_bytes(), (other / name).read_bytes()
        if renames and Path(name).suffix in TEXTS:
            before = renamed(before.decode(), renames).encode()
        if renames and before != after and name.endswith(".safetensors"):
            before, after = checkpoint(before, renames), checkpoint(after, {})
        if before != after:
            yield f"other bytes: {name}"


def checkpoint(content: bytes, renames: Mapping[str, str]) -> tuple[object, bytes]:
    """Header without digests, its keys in order, and tensors of a safetensors file."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    described = re.sub(r"[0-9a-f]{64}", "", header.pop("__metadata__", {}).get("laq", "{}"))
    return [header, json.loads(renamed(described, renames))], content[end:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--rename", action="append", default=[], metavar="OLD=NEW")
    chosen = parser.parse_args()
    if not (count := len(files(chosen.first))):
        sys.exit(f"{chosen.first} holds no results")
    renames = dict(pair.split("=", 1) for pair in chosen.rename)
    found = list(differences(chosen.first, chosen.other, renames))
    print("\n".join([*found, f"{count} files compared, {len(found)} differ"]))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
