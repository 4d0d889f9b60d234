"""Read published logs into the tables of a study."""


def read_logs(
    logs: list[str],
    accuracy: str,
    subsets: str,
    record: str,
    settings: list[str],
    test_per_class: int | None,
) -> None:
    """Write the accuracies and subsets of all logs, and the record of the logs themselves.

    ``settings``: one for each of ``logs``.
    """
    from laq.data.published import put_together, read_log
    from laq.utils.files import write_csv

    parsed_logs = {setting: read_log(path) for setting, path in zip(settings, logs, strict=True)}
    tables = put_together(parsed_logs, test_per_class)
    write_csv(accuracy, tables.accuracy)
    write_csv(subsets, tables.subsets)
    write_csv(record, tables.logs)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, read_logs)
