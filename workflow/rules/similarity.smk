"""How alike the calibration sets of subset and of all classes are, and whether that foretells anything.

Reads: <results>/dataset/, subsets/{subset}.json, models/{network}/original.safetensors,
       accuracy.csv, tables/subsets.csv; sweep.csv where it stands for a label-agnostic variant
Makes: <results>/similarity/{network}.csv, tables/similarity.csv, tables/predictors.csv, figures/fig9
"""

# What predictors are ranked against, and whether that takes the sweep's control.
RANKED = study_config.ranked_arms(STUDY)
CONTROL = sweep_table() if study_config.SWEPT in RANKED.values() else []


# One job for all subsets of a network: a subset takes a fraction of the time that a job's start does.
rule measure_similarity:
    """Measure how alike the label-aware and the label-agnostic calibration sets are."""
    input:
        train="<results>/dataset/train.npz",
        classes="<results>/dataset/classes.json",
        subsets=expand("<results>/subsets/{subset}.json", subset=SUBSETS),
        parent="<results>/models/{network}/original.safetensors",
    output:
        similarity="<results>/similarity/{network}.csv",
    log:
        "<logs>/measure_similarity/{network}.log",
    benchmark:
        "<benchmarks>/measure_similarity/{network}.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
        gpu=GPU,
    params:
        settings=lambda wildcards: settings_text(
            network=wildcards.network, **STUDY["similarity"], seed=SEED
        ),
        code=lambda wildcards: network_code("measure_similarity.py", wildcards.network),
    message:
        "Measuring Gram similarity of calibration sets for {wildcards.network}"
    script:
        "../scripts/measure_similarity.py"


rule collect_similarity:
    """Put the similarities of all networks into one table."""
    input:
        tables=expand("<results>/similarity/{network}.csv", network=NETWORKS),
    output:
        table=reported("<results>/tables/similarity.csv"),
    log:
        "<logs>/collect_similarity.log",
    benchmark:
        "<benchmarks>/collect_similarity.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=settings_text(),
        code=code("collect_tables.py"),
    message:
        "Collecting similarities"
    script:
        "../scripts/collect_tables.py"


rule rank_predictors:
    """Rank the subsets by distance and similarity against what quantization costs on them."""
    input:
        accuracy="<results>/accuracy.csv",
        subsets="<results>/tables/subsets.csv",
        similarity="<results>/tables/similarity.csv",
        sweep=CONTROL,
    output:
        predictors=reported("<results>/tables/predictors.csv"),
    log:
        "<logs>/rank_predictors.log",
    benchmark:
        "<benchmarks>/rank_predictors.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=settings_text(
            arms=RANKED,
            base=sweep_base() if CONTROL else None,
            confidence=FIGURES["confidence"],
            seed=SEED,
        ),
        code=code("rank_predictors.py"),
    message:
        "Ranking predictors"
    script:
        "../scripts/rank_predictors.py"


rule plot_predictors:
    """Figure 9: what quantization costs against Gram similarity, and against median ICD."""
    input:
        accuracy="<results>/accuracy.csv",
        subsets="<results>/tables/subsets.csv",
        similarity="<results>/tables/similarity.csv",
        predictors="<results>/tables/predictors.csv",
    output:
        pdf="<results>/figures/fig9.pdf",
        png=report(
            "<results>/figures/fig9.png",
            caption="../report/fig9.rst",
            category="Figures",
            labels={"figure": "9", "shows": "what foretells the price of quantization"},
        ),
    log:
        "<logs>/plot_predictors.log",
    benchmark:
        "<benchmarks>/plot_predictors.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=settings_text(
            title=f"{STUDY['study']}: does similarity or distance foretell what quantization costs?",
            scale=AXIS,
            confidence=FIGURES["confidence"],
        ),
        code=code("plot_predictors.py"),
    message:
        "Drawing figure 9"
    script:
        "../scripts/plot_predictors.py"
