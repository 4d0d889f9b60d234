"""Pages of HTML for the report: the verdicts, and every table."""

from collections.abc import Mapping, Sequence
from typing import Any


def write_pages(
    tables: Sequence[str], summary: str, pages: Sequence[str], config: Mapping[str, Any]
) -> None:
    """Write ``summary`` (the verdicts) and a page for each table."""
    from pathlib import Path

    from laq.reporting import pages as html
    from laq.reporting.summary import NEEDED, NUMBERS, check_verdicts, fragment
    from laq.utils.files import write_text

    rows = {
        name: html.read_rows(table, NEEDED.get(name, ()), NUMBERS.get(name, ()))
        for name, table in ((Path(table).stem, table) for table in tables)
    }
    check_verdicts(next(t for t in tables if Path(t).stem == "claims"), rows["claims"])
    write_text(summary, fragment(config, rows["claims"], rows))
    for table, page in zip(tables, pages, strict=True):
        name = Path(table).stem
        body = html.sheet(rows[name], html.FIRST.get(name, "").split())
        write_text(page, html.page(Path(table).name, body))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, write_pages)
