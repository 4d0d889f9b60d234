"""Write laq.yaml, the conda environment, from requirements.txt: `python envs/mirror.py`.

requirements.txt itself is compiled from requirements.in, for all platforms and with hashes:
`uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
envs/requirements.in -o envs/requirements.txt`.
"""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
HEAD = """\
# Written by mirror.py from requirements.txt: the same pins, installed by pip into a conda
# environment. Do not edit.
name: laq
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python=3.12
  - pip
  - pip:
"""


def mirrored(requirements: str) -> str:
    """The conda environment with every pin of a compiled requirements file, without hashes."""
    pins = re.findall(r"^([a-z0-9][\w.-]*==[^\\\n]+?)\s*\\?$", requirements, re.MULTILINE)
    return HEAD + "".join(f'      - "{pin}"\n' for pin in pins)


if __name__ == "__main__":
    text = mirrored((HERE / "requirements.txt").read_text(encoding="utf-8"))
    (HERE / "laq.yaml").write_text(text, encoding="utf-8")
