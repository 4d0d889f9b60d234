"""Where the results are from, and what the report shows besides figures: pages of the tables.

Reads: <results>/accuracy.csv, sweep.csv where there is one, tables/, what tells of outside files
Makes: <results>/provenance.json, <results>/report/*.html, for `snakemake --report`
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
        *condition_verdicts(),
        *similarity_tables(),
        *replication_tables(),
        *deploy_tables(),
        *logs_table(),
    ]
}
PAGES = [f"<results>/report/{name}.html" for name in ["summary", "provenance", *PAGED]]

# Its order is part of it: figures take the first variant where none is named.
CONFIG_TEXT = provenance.without_wildcards(json.dumps(STUDY, ensure_ascii=False))
SOURCES_DIGEST = provenance.sources_digest(SCRIPTS.parents[1] / "Snakefile", SCRIPTS.parent)


rule record_provenance:
    """Write down what the results are made of: sources, config, versions, seeds, outside files."""
    input:
        **outside(),
    output:
        provenance=reported("<results>/provenance.json"),
        page=reported("<results>/report/provenance.html"),
    log:
        "<logs>/record_provenance.log",
    benchmark:
        "<benchmarks>/record_provenance.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        # The digest holds this script's own code.
        settings=settings_text(sources=SOURCES_DIGEST, networks=pretrained_networks()),
        config=CONFIG_TEXT,
    message:
        "Writing down what the results are made of"
    script:
        "../scripts/record_provenance.py"


rule write_pages:
    """Write the tables as pages that the report can show."""
    input:
        tables=list(PAGED.values()),
    output:
        summary=report(
            "<results>/report/summary.html",
            caption="../report/claims.rst",
            category="Verdicts",
            labels={"table": "summary", "shows": "verdicts in short", "file": "page"},
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
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=settings_text(),
        config=CONFIG_TEXT,
        code=code("write_pages.py"),
    message:
        "Writing the report's pages"
    script:
        "../scripts/write_pages.py"
