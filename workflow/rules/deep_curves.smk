"""Accuracy against ratio: pruning, quantization, both and low rank, each at several points.

Reads: <results>/dataset/, models/{network}/original.safetensors
Makes: <results>/deep/{network}/curves/{curve}.csv, {curve}.seconds.csv, deep/{network}/curves.csv
"""


rule measure_curve:
    """Compress a network in one way at several points: accuracy against ratio."""
    input:
        train="<results>/dataset/train.npz",
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        parent="<results>/models/{network}/original.safetensors",
    output:
        table="<results>/deep/{network}/curves/{curve}.csv",
        seconds="<results>/deep/{network}/curves/{curve}.seconds.csv",
    log:
        "<logs>/measure_curve/{network}/{curve}.log",
    benchmark:
        "<benchmarks>/measure_curve/{network}/{curve}.tsv"
    wildcard_constraints:
        network=one_of(DEEP_NETWORKS),
        curve=one_of(deep_plan.CURVES),
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
            curve=wildcards.curve,
            seed=SEED,
            **deep_plan.curve(DEEP_STUDY, wildcards.network, wildcards.curve),
        ),
        code=deep_study_code("measure_curve.py"),
    message:
        "Accuracy of {wildcards.network} against ratio: {wildcards.curve}"
    script:
        "../scripts/measure_curve.py"


rule collect_deep_curves:
    """Put the curves of a network into one table."""
    input:
        tables=expand("<results>/deep/{{network}}/curves/{curve}.csv", curve=deep_plan.CURVES),
    output:
        table="<results>/deep/{network}/curves.csv",
    log:
        "<logs>/collect_deep_curves/{network}.log",
    benchmark:
        "<benchmarks>/collect_deep_curves/{network}.tsv"
    wildcard_constraints:
        network=one_of(DEEP_NETWORKS),
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=settings_text(),
        code=code("collect_deep_curves.py"),
    message:
        "Collecting the curves of {wildcards.network}"
    script:
        "../scripts/collect_deep_curves.py"
