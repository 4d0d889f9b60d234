"""Curves over median ICD, paired differences, verdicts, and published gains beside the study's own.

Reads: <results>/accuracy.csv, tables/subsets.csv; where there are any, sweep.csv, memory.csv, logs.csv,
       icd/kl_matrix.parquet, and the logs and the matrix that the config names
Makes: <results>/tables/curves.csv, differences.csv, claims.csv, claims.md, sensitivity.csv;
       where the config asks for it tables/replication.csv, correlations.csv, figures/replication
"""


rule fit_curves:
    """Fit a curve to every variant, and compare variants over the subsets."""
    input:
        accuracy="<results>/accuracy.csv",
        subsets="<results>/tables/subsets.csv",
    output:
        curves=reported("<results>/tables/curves.csv"),
        differences=reported("<results>/tables/differences.csv"),
    log:
        "<logs>/fit_curves.log",
    benchmark:
        "<benchmarks>/fit_curves.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=dict(
            controls=PLAN.agnostic_controls(),
            confidence=FIGURES["confidence"],
            resamples=FIGURES["resamples"],
            seed=SEED,
        ),
        code=code("fit_curves.py"),
    message:
        "Fitting curves"
    script:
        "../scripts/fit_curves.py"


rule judge_claims:
    """Judge the conclusions, and again by other readings of the same data."""
    input:
        accuracy="<results>/accuracy.csv",
        subsets="<results>/tables/subsets.csv",
        sweep=PLAN.sweep_table(),
        memory=PLAN.memory_table(),
        logs=PLAN.logs_table(),
    output:
        claims=reported("<results>/tables/claims.csv"),
        page=reported("<results>/tables/claims.md"),
        sensitivity=reported("<results>/tables/sensitivity.csv"),
    log:
        "<logs>/judge_claims.log",
    benchmark:
        "<benchmarks>/judge_claims.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=dict(
            study=STUDY["study"],
            arms=PLAN.claim_arms(),
            bits=PLAN.claim_bits(),
            base=PLAN.sweep_base(),
            confidence=FIGURES["confidence"],
            resamples=FIGURES["resamples"],
            seed=SEED,
        ),
        code=code("judge_claims.py"),
    message:
        "Judging the conclusions"
    script:
        "../scripts/judge_claims.py"


if "replication" in STUDY:

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
        resources:
            mem_mb=growing(1000),
            runtime=growing(10),
        params:
            settings=dict(
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
            png=reported_figure(
                "<results>/figures/replication.png",
                "replicated",
                "Figures",
                "gains against published ones",
            ),
        log:
            "<logs>/plot_replication.log",
        benchmark:
            "<benchmarks>/plot_replication.tsv"
        conda:
            "../../envs/laq.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            settings=dict(
                title=f"{STUDY['study']}: gains against published ones",
                variants=list(STUDY["variants"]),
            ),
            code=code("plot_replication.py"),
        message:
            "Drawing the replication"
        script:
            "../scripts/plot_replication.py"
