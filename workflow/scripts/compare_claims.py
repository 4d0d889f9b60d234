"""Verdicts side by side: python workflow/scripts/compare_claims.py OUTPUT LABEL=CLAIMS.csv …

Writes OUTPUT.csv and OUTPUT.md with a row for each conclusion and a column for each setting of each
table of claims, such as published=results/published/tables/claims.csv.
"""

import argparse
import sys


def main(arguments: list[str]) -> int:
    """Write both tables; return the exit code."""
    parser = argparse.ArgumentParser(description="Put the verdicts of studies side by side.")
    parser.add_argument("output", help="path of both tables, without a suffix")
    parser.add_argument("tables", nargs="+", metavar="LABEL=CLAIMS.csv", help="in this order")
    options = parser.parse_args(arguments)

    import job  # noqa: F401, puts the library of this checkout first
    from laq.reporting import comparison
    from laq.utils.errors import LaqError
    from laq.utils.files import write_rows, write_text

    files = dict(text.split("=", 1) for text in options.tables if "=" in text)
    if len(files) < len(options.tables):
        parser.error("give each table as LABEL=CLAIMS.csv, each with a label of its own")
    try:
        claims = comparison.sources(files)
        write_rows(f"{options.output}.csv", comparison.rows(claims))
        write_text(f"{options.output}.md", comparison.page(claims))
    except LaqError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
