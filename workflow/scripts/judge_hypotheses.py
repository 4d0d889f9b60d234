"""The hypotheses of partial training, each with its effect, interval, p and verdict."""


def judge_hypotheses(runs: str, hypotheses: str, page: str, study: str, confidence: float) -> None:
    """Write the verdicts as a table and as a page."""
    from laq.analysis.partial import table
    from laq.analysis.partial.hypotheses import judge
    from laq.reporting.partial_hypotheses import render
    from laq.utils.files import write_csv, write_text

    verdicts = judge(table.read(runs), confidence)
    write_csv(hypotheses, verdicts)
    write_text(page, render(study, verdicts, confidence))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, judge_hypotheses)
