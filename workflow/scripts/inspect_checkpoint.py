"""Print what checkpoints hold: python workflow/scripts/inspect_checkpoint.py quant.safetensors."""

import argparse
import json
import sys


def main(arguments: list[str]) -> int:
    """Print the inspection of every file given; return the exit code."""
    parser = argparse.ArgumentParser(description="Print what checkpoints hold.")
    parser.add_argument("checkpoints", nargs="+", metavar="checkpoint.safetensors")
    parser.add_argument("--json", action="store_true", help="print a JSON list, a file an item")
    options = parser.parse_args(arguments)

    import job  # noqa: F401, puts the library of this checkout first
    from laq.checkpoints.inspection import inspect, render
    from laq.utils.errors import LaqError

    try:
        inspections = [inspect(path) for path in options.checkpoints]
    except LaqError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(inspections, indent=2, ensure_ascii=False))
    else:
        print("\n".join(map(render, inspections)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
