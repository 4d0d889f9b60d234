"""Where the results are from, and what the report shows besides figures: pages of the tables.

Reads: <results>/accuracy.csv, sweep.csv where there is one, tables/, what tells of outside files
Makes: <results>/provenance.json, <results>/report/*.html, for `snakemake --report`
"""

# Tables of this study by name, in the report's order.
PAGED = {
    Path(file).stem: file
    for file in [
        *expand("<results>/tables/{table}.csv", table=["claims", "sensitivity", "subsets"]),
        "<results>/accuracy.csv",
        *expand("<results>/tables/{table}.csv", table=["curves", "differences"]),
        *PLAN.memory_table(),
        *PLAN.sweep_table(),
        *PLAN.further_tables(),
        *PLAN.logs_table(),
    ]
}
PAGES = [f"<results>/report/{name}.html" for name in ["summary", "provenance", *PAGED]]

SOURCES_DIGEST = provenance.sources_digest(LIBRARY.parent / "Snakefile", "src", "workflow")


rule record_provenance:
    """Write down what the results are made of: sources, config, versions, seeds, outside files."""
    input:
        **PLAN.outside(),
    output:
        provenance=reported("<results>/provenance.json"),
        page=reported("<results>/report/provenance.html"),
    log:
        "<logs>/record_provenance.log",
    benchmark:
        "<benchmarks>/record_provenance.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        # The digest holds this script's own code.
        settings=dict(sources=SOURCES_DIGEST, networks=PLAN.pretrained_networks()),
        config=STUDY,
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
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings={},
        config=STUDY,
        code=code("write_pages.py"),
    message:
        "Writing the report's pages"
    script:
        "../scripts/write_pages.py"
