"""Accuracy of every variant on the subsets' test images.

Reads: <results>/dataset/test.npz, subsets/{subset}.json, the variants' checkpoints
Makes: <results>/accuracy/{network}/{subset}.csv, accuracy.csv
"""


rule evaluate_subset:
    """Evaluate all variants of a network over all classes and over the subset's."""
    input:
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        subset="<results>/subsets/{subset}.json",
        checkpoints=all_checkpoints,
    output:
        accuracy="<results>/accuracy/{network}/{subset}.csv",
    log:
        "<logs>/evaluate_subset/{network}/{subset}.log",
    benchmark:
        "<benchmarks>/evaluate_subset/{network}/{subset}.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        gpu=GPU,
    params:
        settings=lambda wildcards: settings_text(
            network=wildcards.network, variants=variants_and_repeats(*VARIANTS)
        ),
        code=lambda wildcards: loading_code("evaluate_subset.py", wildcards.network, *VARIANTS),
    message:
        "Evaluating {wildcards.network} on {wildcards.subset}"
    script:
        "../scripts/evaluate_subset.py"


rule collect_accuracy:
    """Put the accuracies of all networks and subsets into one table."""
    input:
        tables=expand("<results>/accuracy/{network}/{subset}.csv", network=NETWORKS, subset=SUBSETS),
    output:
        table=reported("<results>/accuracy.csv"),
    log:
        "<logs>/collect_accuracy.log",
    benchmark:
        "<benchmarks>/collect_accuracy.tsv"
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
        "Collecting accuracies"
    script:
        "../scripts/collect_tables.py"
