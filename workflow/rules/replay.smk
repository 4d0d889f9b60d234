"""Published logs in place of a study's own results.

Reads: the logs that the config names
Makes: <results>/accuracy.csv, tables/subsets.csv, tables/logs.csv
"""


# One job for all logs, since subsets are numbered over all of them; it takes a second.
rule read_logs:
    """Read published logs into the tables of a study."""
    input:
        logs=list(PLAN.logs.values()),
    output:
        accuracy=reported("<results>/accuracy.csv"),
        subsets=reported("<results>/tables/subsets.csv"),
        record=reported("<results>/tables/logs.csv"),
    log:
        "<logs>/read_logs.log",
    benchmark:
        "<benchmarks>/read_logs.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=dict(settings=list(PLAN.logs), test_per_class=STUDY["test_per_class"]),
        code=code("read_logs.py"),
    message:
        "Reading published logs"
    script:
        "../scripts/read_logs.py"
