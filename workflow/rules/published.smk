"""Published logs in place of a study's own results.

Reads: the logs that the config names
Makes: <results>/accuracy.csv, tables/subsets.csv, tables/logs.csv
"""


# One job for all logs, since subsets are numbered over all of them; it takes a second.
rule read_logs:
    """Read published logs into the tables of a study."""
    input:
        logs=list(LOGS.values()),
    output:
        accuracy=report(
            "<results>/accuracy.csv",
            caption="../report/accuracy.rst",
            category="Tables",
            labels={
                "table": "accuracy",
                "shows": "top-1 of every variant on every subset",
                "file": "CSV",
            },
        ),
        subsets=report(
            "<results>/tables/subsets.csv",
            caption="../report/subsets.rst",
            category="Tables",
            labels={"table": "subsets", "shows": "the subsets by median ICD", "file": "CSV"},
        ),
        record=report(
            "<results>/tables/logs.csv",
            caption="../report/logs.rst",
            category="Tables",
            labels={"table": "logs", "shows": "the published logs", "file": "CSV"},
        ),
    log:
        "<logs>/read_logs.log",
    benchmark:
        "<benchmarks>/read_logs.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings_text(settings=list(LOGS), test_per_class=STUDY["test_per_class"]),
        code=code("read_logs.py"),
    message:
        "Reading published logs"
    script:
        "../scripts/read_logs.py"
