"""Which layers to quantize: python workflow/scripts/recommend_layers.py results/partial_qat …

Given --bytes, --update-bytes, --step-bytes or --accuracy-drop it says which layers of --network to
quantize at how many bits, and the predicted cost.
"""

import argparse
import json
import sys

LIMITS = {
    "bytes": "bytes of the file, at most",
    "update_bytes": "bytes that a client downloads, at most",
    "step_bytes": "bytes that a process sends in a training step, at most",
    "accuracy_drop": "percent points of top-1 that may be lost",
}


def main(arguments: list[str]) -> int:
    """Print the recommendation; return the exit code, 1 where nothing meets the budget."""
    parser = argparse.ArgumentParser(description="Say which layers of a network to quantize.")
    parser.add_argument("results", help="folder of partial_qat's tables")
    parser.add_argument("--network", help="its id; may be left out where there is one")
    for name, help_text in LIMITS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, metavar="N", help=help_text)
    parser.add_argument(
        "--sure",
        action="store_true",
        help="keep to the drop with the worst that one run is foretold to show, not the mean",
    )
    parser.add_argument("--confidence", type=float, default=0.95, help="of what is foretold")
    parser.add_argument("--json", action="store_true", help="print a JSON mapping")
    options = parser.parse_args(arguments)

    import job  # noqa: F401, puts the library of this checkout first
    from laq.analysis.partial.recommendation import advise
    from laq.utils.errors import LaqError

    limits = {name: getattr(options, name) for name in LIMITS if getattr(options, name) is not None}
    if "accuracy_drop" in limits:
        limits["drop"] = limits.pop("accuracy_drop") / 100
    try:
        row, text = advise(
            options.results, options.network, limits, options.sure, options.confidence
        )
    except LaqError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(row, indent=2, ensure_ascii=False) if options.json else text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
