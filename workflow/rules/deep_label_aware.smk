"""Deep Compression for a subset's classes: on their images alone, against images of all classes.

Reads: <results>/dataset/, subsets/{subset}.json, models/{network}/original.safetensors,
       tables/subsets.csv
Makes: <results>/deep/{network}/label_aware/{subset}.csv, deep/label_aware.csv,
       deep/ratio_gained.csv, deep/claims.csv, deep/label_aware (figure)
"""


rule measure_label_aware:
    """Compress a network on a subset's images and on those of all classes, at several points."""
    input:
        train="<results>/dataset/train.npz",
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        subset="<results>/subsets/{subset}.json",
        parent="<results>/models/{network}/original.safetensors",
    output:
        table="<results>/deep/{network}/label_aware/{subset}.csv",
    log:
        "<logs>/measure_label_aware/{network}/{subset}.log",
    benchmark:
        "<benchmarks>/measure_label_aware/{network}/{subset}.tsv"
    wildcard_constraints:
        network=one_of(DEEP_NETWORKS),
        subset=one_of(LABEL_AWARE_SUBSETS),
    conda:
        "../../envs/laq.yaml"
    threads: deep_study_processes
    resources:
        mem_mb=growing(lambda wildcards: 4000 * deep_study_processes(wildcards)),
        runtime=growing(480),
        gpu=lambda wildcards: GPU * deep_study_processes(wildcards),
    params:
        settings=lambda wildcards: settings_text(
            network=wildcards.network,
            seed=SEED,
            **deep_plan.label_aware(DEEP_STUDY, wildcards.network),
        ),
        code=deep_study_code("measure_label_aware.py"),
    message:
        "Compressing {wildcards.network} for {wildcards.subset} by its own images and by all"
    script:
        "../scripts/measure_label_aware.py"


rule judge_ratio_gained:
    """What label-awareness gains in ratio at equal accuracy, subset by subset, and the verdicts."""
    input:
        tables=expand(
            "<results>/deep/{network}/label_aware/{subset}.csv",
            network=DEEP_NETWORKS,
            subset=LABEL_AWARE_SUBSETS,
        ),
        subsets="<results>/tables/subsets.csv",
    output:
        label_aware="<results>/deep/label_aware.csv",
        ratio_gained=report(
            "<results>/deep/ratio_gained.csv",
            caption="../report/deep_ratio_gained.rst",
            category="Deep Compression",
            labels={"table": "ratio gained", "shows": "by subset, label-aware", "file": "CSV"},
        ),
        claims=report(
            "<results>/deep/claims.csv",
            caption="../report/deep_claims.rst",
            category="Verdicts",
            labels={"table": "deep claims", "shows": "on label-aware compression", "file": "CSV"},
        ),
    log:
        "<logs>/judge_ratio_gained.log",
    benchmark:
        "<benchmarks>/judge_ratio_gained.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=settings_text(
            tolerance=LABEL_AWARE["tolerance"],
            confidence=FIGURES["confidence"],
            resamples=FIGURES["resamples"],
            seed=SEED,
        ),
        code=code("judge_ratio_gained.py"),
    message:
        "Judging what label-aware compression gains"
    script:
        "../scripts/judge_ratio_gained.py"


rule plot_label_aware:
    """Accuracy against ratio for both, and the ratio gained against median ICD."""
    input:
        label_aware="<results>/deep/label_aware.csv",
        subsets="<results>/tables/subsets.csv",
        ratio_gained="<results>/deep/ratio_gained.csv",
        claims="<results>/deep/claims.csv",
    output:
        pdf="<results>/deep/label_aware.pdf",
        png=report(
            "<results>/deep/label_aware.png",
            caption="../report/deep_label_aware.rst",
            category="Deep Compression",
            labels={"figure": "label_aware", "shows": "ratio gained by label-awareness"},
        ),
    log:
        "<logs>/plot_label_aware.log",
    benchmark:
        "<benchmarks>/plot_label_aware.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=settings_text(
            study=STUDY["study"],
            scale=STUDY["subsets"]["scale"],
            tolerance=LABEL_AWARE["tolerance"],
            confidence=FIGURES["confidence"],
            resamples=FIGURES["resamples"],
            seed=SEED,
        ),
        code=code("plot_label_aware.py"),
    message:
        "Drawing label-aware Deep Compression"
    script:
        "../scripts/plot_label_aware.py"
