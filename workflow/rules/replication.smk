"""What quantization gained in a published study, subset by subset, and what it gains here.

Reads: <results>/accuracy.csv, tables/subsets.csv, subsets/{subset}.json, icd/kl_matrix.parquet, and
       the logs and the matrix that the config names
Makes: <results>/tables/replication.csv, tables/correlations.csv, figures/replication.pdf and .png
"""

REPLICATED = study_config.replicated_logs(STUDY)


rule compare_published:
    """Put published gains beside the study's own, and correlate gains and distances by rank."""
    input:
        accuracy="<results>/accuracy.csv",
        table="<results>/tables/subsets.csv",
        subsets=expand("<results>/subsets/{subset}.json", subset=SUBSETS),
        matrix="<results>/icd/kl_matrix.parquet",
        logs=list(REPLICATED.values()),
        given=study_config.given_matrix(STUDY),
    output:
        replication=reported("<results>/tables/replication.csv"),
        correlations=reported("<results>/tables/correlations.csv"),
    log:
        "<logs>/compare_published.log",
    benchmark:
        "<benchmarks>/compare_published.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=settings_text(
            variants=list(REPLICATED),
            confidence=FIGURES["confidence"],
            resamples=FIGURES["resamples"],
            seed=SEED,
        ),
        code=code("compare_published.py"),
    message:
        "Comparing gains with published ones"
    script:
        "../scripts/compare_published.py"


rule plot_replication:
    """The gains of this study against the published ones, a point a subset."""
    input:
        replication="<results>/tables/replication.csv",
        correlations="<results>/tables/correlations.csv",
    output:
        pdf="<results>/figures/replication.pdf",
        png=report(
            "<results>/figures/replication.png",
            caption="../report/replicated.rst",
            category="Figures",
            labels={"figure": "replication", "shows": "gains against published ones"},
        ),
    log:
        "<logs>/plot_replication.log",
    benchmark:
        "<benchmarks>/plot_replication.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=settings_text(
            title=f"{STUDY['study']}: gains against published ones",
            variants=list(STUDY["variants"]),
        ),
        code=code("plot_replication.py"),
    message:
        "Drawing the replication"
    script:
        "../scripts/plot_replication.py"
