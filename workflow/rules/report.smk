"""What the report shows besides figures: the study itself, and pages of its tables.

Reads: <results>/accuracy.csv, sweep.csv where there is one, tables/
Makes: <results>/tables/study.json, <results>/report/*.html, for `snakemake --report`
"""

import json

# Tables of this study by name, in the report's order.
PAGED = {
    Path(file).stem: file
    for file in [
        *expand("<results>/tables/{table}.csv", table=["claims", "sensitivity", "subsets"]),
        "<results>/accuracy.csv",
        *expand("<results>/tables/{table}.csv", table=["curves", "differences"]),
        *memory_table(),
        *sweep_table(),
        *similarity_tables(),
        *deploy_tables(),
        *logs_table(),
    ]
}
PAGES = [f"<results>/report/{name}.html" for name in ["summary", "study", *PAGED]]


rule describe_study:
    """Write down the whole config, versions and seeds."""
    output:
        study=report(
            "<results>/tables/study.json",
            caption="../report/study.rst",
            category="Study",
            labels={"table": "study", "shows": "config, versions and seeds", "file": "JSON"},
        ),
    log:
        "<logs>/describe_study.log",
    benchmark:
        "<benchmarks>/describe_study.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        settings=settings_text(),
        # Its order is part of it: figures take the first variant where none is named.
        config=provenance.without_wildcards(json.dumps(STUDY, ensure_ascii=False)),
        code=code("describe_study.py"),
    message:
        "Writing down config, versions and seeds"
    script:
        "../scripts/describe_study.py"


rule write_pages:
    """Write the tables as pages that the report can show."""
    input:
        study="<results>/tables/study.json",
        tables=list(PAGED.values()),
    output:
        summary=report(
            "<results>/report/summary.html",
            caption="../report/claims.rst",
            category="Verdicts",
            labels={"table": "summary", "shows": "verdicts in short", "file": "page"},
        ),
        about=report(
            "<results>/report/study.html",
            caption="../report/study.rst",
            category="Study",
            labels={"table": "study", "shows": "config, versions and seeds", "file": "page"},
        ),
        pages=[reported(f"<results>/report/{name}.html") for name in PAGED],
    log:
        "<logs>/write_pages.log",
    benchmark:
        "<benchmarks>/write_pages.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings_text(),
        code=code("write_pages.py"),
    message:
        "Writing the report's pages"
    script:
        "../scripts/write_pages.py"
