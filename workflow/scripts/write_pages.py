"""Pages of HTML for the report: the verdicts, every table, and the study itself."""

from collections.abc import Sequence


def write_pages(
    study: str, tables: Sequence[str], summary: str, about: str, pages: Sequence[str]
) -> None:
    """Write ``summary`` (the verdicts), ``about`` (the study) and a page for each table."""
    from pathlib import Path

    from laq import pages as html
    from laq.files import write_text
    from laq.summary import NEEDED, NUMBERS, check_verdicts, fragment

    described = html.read_study(study)
    title = described["config"]["study"]
    rows = {
        name: html.read_rows(table, NEEDED.get(name, ()), NUMBERS.get(name, ()))
        for name, table in ((Path(table).stem, table) for table in tables)
    }
    check_verdicts(next(t for t in tables if Path(t).stem == "claims"), rows["claims"])
    write_text(summary, fragment(described["config"], rows["claims"], rows))
    write_text(
        about, html.page(f"{title}: config, versions and seeds", html.description(described))
    )
    for table, page in zip(tables, pages, strict=True):
        name = Path(table).stem
        body = html.sheet(rows[name], html.FIRST.get(name, "").split())
        write_text(page, html.page(Path(table).name, body))


if "snakemake" in globals():
    import job

    job.run(snakemake, write_pages)
