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
        claims=reported("<results>/tables/claims.csv"),
        page=reported("<results>/tables/claims.md"),
        sensitivity=reported("<results>/tables/sensitivity.csv"),
    log:
        "<logs>/judge_claims.log",
    benchmark:
        "<benchmarks>/judge_claims.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_text(
            study=STUDY["study"],
            arms=claim_arms(),
            bits=claim_bits(),
            base=sweep_base(),
            confidence=FIGURES["confidence"],
            resamples=FIGURES["resamples"],
            seed=SEED,
        ),
        code=code("judge_claims.py"),
    message:
        "Judging the conclusions"
    script:
        "../scripts/judge_claims.py"
