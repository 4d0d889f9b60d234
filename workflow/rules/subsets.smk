"""Class subsets by median inter-class distance (ICD).

Reads: <results>/icd/kl_matrix.parquet
Makes: <results>/icd/targets_{number}.json, subsets/{subset}.json, tables/subsets.csv
"""


rule spread_targets:
    """Find the subsets of a series of targets, all at once: each depends on those before it."""
    input:
        matrix="<results>/icd/kl_matrix.parquet",
    output:
        series="<results>/icd/targets_{number}.json",
    log:
        "<logs>/spread_targets/{number}.log",
    benchmark:
        "<benchmarks>/spread_targets/{number}.tsv"
    wildcard_constraints:
        number=r"\d+",
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=lambda wildcards: settings_text(
            definition={
                "size": STUDY["subsets"]["size"],
                "scale": STUDY["subsets"]["scale"],
                "count": int(wildcards.number),
            },
            seed=SEED,
        ),
        code=code("spread_targets.py"),
    message:
        "Spreading {wildcards.number} targets of median ICD"
    script:
        "../scripts/spread_targets.py"


rule select_subset:
    """Choose the classes of one subset."""
    input:
        matrix="<results>/icd/kl_matrix.parquet",
        series=target_series,
    output:
        subset="<results>/subsets/{subset}.json",
    log:
        "<logs>/select_subset/{subset}.log",
    benchmark:
        "<benchmarks>/select_subset/{subset}.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=lambda wildcards: subset_settings(wildcards.subset),
        code=code("select_subset.py"),
    message:
        "Choosing the classes of subset {wildcards.subset}"
    script:
        "../scripts/select_subset.py"


rule list_subsets:
    """List all subsets by median ICD, and say which hold the same classes."""
    input:
        subsets=expand("<results>/subsets/{subset}.json", subset=SUBSETS),
    output:
        table=reported("<results>/tables/subsets.csv"),
    log:
        "<logs>/list_subsets.log",
    benchmark:
        "<benchmarks>/list_subsets.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=settings_text(published=study_config.published_medians(STUDY)),
        code=code("list_subsets.py"),
    message:
        "Listing the subsets"
    script:
        "../scripts/list_subsets.py"
