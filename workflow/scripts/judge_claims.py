"""Every conclusion of the study with its effect, interval, p and verdict."""


def judge_claims(
    accuracy: str,
    subsets: str,
    sweep: list[str],
    memory: list[str],
    logs: list[str],
    claims: str,
    page: str,
    sensitivity: str,
    study: str,
    arms: dict[str, list[str | None]],
    bits: dict[str, int],
    base: dict[str, int] | None,
    confidence: float,
    resamples: int,
    seed: int,
) -> None:
    """Judge the claims, and again by other readings; write both tables and a page.

    ``sweep``, ``memory`` and ``logs`` (the record of published logs) hold a path or none. ``arms``:
    the setting (null: each) and the variant that play a role. ``bits``: how many a role's variant
    has. ``base``: the bits and calibration images of the sweep's variant.
    """
    from laq.analysis.claims import (
        Evidence,
        Rigour,
        judge,
        read_otherwise,
        render,
        with_logs,
        with_sweep,
    )
    from laq.analysis.claims.evidence import LOG_COLUMNS, MEMORY_COLUMNS, SWEEP_COLUMNS
    from laq.analysis.collected import read as read_all
    from laq.analysis.observations import read
    from laq.utils.files import read_table, write_csv, write_text

    evidence = Evidence(
        table=read(accuracy, subsets),
        arms={role: (setting, variant) for role, (setting, variant) in arms.items()},
        memory=read_all(memory[0], MEMORY_COLUMNS) if memory else None,
        bits=bits,
    )
    if sweep:
        evidence = with_sweep(evidence, read_all(sweep[0], SWEEP_COLUMNS), **base)
    if logs:
        # A log may leave out the network that it measured.
        evidence = with_logs(evidence, read_table(logs[0], LOG_COLUMNS, unsaid=["network"]))
    rigour = Rigour(confidence, resamples, seed)
    verdicts = judge(evidence, rigour)
    readings = read_otherwise(evidence, rigour, verdicts)
    write_csv(claims, verdicts)
    write_csv(sensitivity, readings)
    write_text(page, render(study, verdicts, readings, confidence, bool(logs)))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, judge_claims)
