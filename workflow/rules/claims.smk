"""Every conclusion of the study with its effect, interval, p and verdict.

Reads: <results>/accuracy.csv, tables/subsets.csv; where there are any, sweep.csv, memory.csv, logs.csv
Makes: <results>/tables/claims.csv, claims.md, sensitivity.csv
"""


rule judge_claims:
    """Judge the conclusions, and again by other readings of the same data."""
    input:
        accuracy="<results>/accuracy.csv",
        subsets="<results>/tables/subsets.csv",
        sweep=sweep_table(),
        memory=memory_table(),
        logs=logs_table(),
    output:
        claims=report(
            "<results>/tables/claims.csv",
            caption="../report/claims.rst",
            category="Verdicts",
            labels={
                "table": "claims",
                "shows": "every conclusion and its verdict",
                "file": "CSV",
            },
        ),
        page=report(
            "<results>/tables/claims.md",
            caption="../report/claims.rst",
            category="Verdicts",
            labels={
                "table": "claims",
                "shows": "every conclusion and its verdict",
                "file": "Markdown",
            },
        ),
        sensitivity=report(
            "<results>/tables/sensitivity.csv",
            caption="../report/sensitivity.rst",
            category="Verdicts",
            labels={
                "table": "sensitivity",
                "shows": "verdicts by seed and by ICD",
                "file": "CSV",
            },
        ),
    log:
        "<logs>/judge_claims.log",
    benchmark:
        "<benchmarks>/judge_claims.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=settings_text(
            study=STUDY["study"],
            arms=claim_arms(),
            bits=claim_bits(),
            images=sweep_images(),
            confidence=FIGURES["confidence"],
            resamples=FIGURES["resamples"],
            seed=SEED,
        ),
        code=code("judge_claims.py"),
    message:
        "Judging the conclusions"
    script:
        "../scripts/judge_claims.py"
