"""Deep Compression in numbers: stage by stage, against its parts and low rank, for a subset's classes.

Reads: <results>/dataset/, subsets/{subset}.json, models/{network}/original.safetensors,
       tables/subsets.csv
Makes: <results>/deep/{network}/{deep,pruned,shared,ans}.safetensors, stages.csv, layers.csv,
       weights.csv, history.csv, rounds.csv, initial.csv, curves/{curve}.csv, curves.csv,
       label_aware/{subset}.csv; deep/label_aware.csv, ratio_gained.csv, claims.csv, and the figures
       deep/curves, weights, initial and label_aware
"""

from laq.config import deep_plan

DEEP_STUDY = STUDY["deep_compression"]
DEEP_NETWORKS = DEEP_STUDY["networks"]
DEEP_PROCESSES = {network: recipe["processes"] for network, recipe in DEEP_NETWORKS.items()}
LABEL_AWARE = DEEP_STUDY["label_aware"]
LABEL_AWARE_SUBSETS = list(SUBSETS) if LABEL_AWARE["subsets"] == "all" else LABEL_AWARE["subsets"]


# Its own target: no other artifact of the study depends on it.
rule deep_compression:
    input:
        expand(
            "<results>/deep/{network}/{table}.csv",
            network=DEEP_NETWORKS,
            table=["stages", "layers", "weights", "history", "rounds", "curves", "initial"],
        ),
        expand("<results>/deep/{table}.csv", table=["label_aware", "ratio_gained", "claims"]),
        expand(
            "<results>/deep/{figure}.{suffix}",
            figure=["curves", "weights", "initial", "label_aware"],
            suffix=["pdf", "png"],
        ),
    message:
        f"{NAME}: Deep Compression is in {STUDY['root']}/deep"


rule measure_stages:
    """Prune, share and code a network; write, weigh, read back and test it at each stage."""
    input:
        train="<results>/dataset/train.npz",
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        parent="<results>/models/{network}/original.safetensors",
    output:
        pruned="<results>/deep/{network}/pruned.safetensors",
        shared="<results>/deep/{network}/shared.safetensors",
        coded="<results>/deep/{network}/deep.safetensors",
        ans="<results>/deep/{network}/ans.safetensors",
        stages="<results>/deep/{network}/stages.csv",
        layers="<results>/deep/{network}/layers.csv",
        weights="<results>/deep/{network}/weights.csv",
        history="<results>/deep/{network}/history.csv",
        rounds="<results>/deep/{network}/rounds.csv",
        seconds="<results>/deep/{network}/stages.seconds.csv",
    log:
        "<logs>/measure_stages/{network}.log",
    benchmark:
        "<benchmarks>/measure_stages/{network}.tsv"
    wildcard_constraints:
        network=one_of(DEEP_NETWORKS),
    conda:
        "../../envs/laq.yaml"
    threads: lambda wildcards: DEEP_PROCESSES[wildcards.network]
    resources:
        mem_mb=growing(lambda wildcards: 4000 * DEEP_PROCESSES[wildcards.network]),
        runtime=growing(240),
        gpu=lambda wildcards: GPU * DEEP_PROCESSES[wildcards.network],
    params:
        settings=lambda wildcards: dict(
            network=wildcards.network,
            course=deep_plan.course(DEEP_STUDY, wildcards.network),
            seed=SEED,
        ),
        code=code("measure_stages.py"),
    message:
        "Deep Compression of {wildcards.network}, stage by stage"
    script:
        "../scripts/measure_stages.py"


rule compare_initial:
    """Have a pruned network's weights share values from several first centroids."""
    input:
        train="<results>/dataset/train.npz",
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        parent="<results>/models/{network}/original.safetensors",
        pruned="<results>/deep/{network}/pruned.safetensors",
    output:
        table="<results>/deep/{network}/initial.csv",
        seconds="<results>/deep/{network}/initial.seconds.csv",
    log:
        "<logs>/compare_initial/{network}.log",
    benchmark:
        "<benchmarks>/compare_initial/{network}.tsv"
    wildcard_constraints:
        network=one_of(DEEP_NETWORKS),
    conda:
        "../../envs/laq.yaml"
    threads: lambda wildcards: DEEP_PROCESSES[wildcards.network]
    resources:
        mem_mb=growing(lambda wildcards: 4000 * DEEP_PROCESSES[wildcards.network]),
        runtime=growing(240),
        gpu=lambda wildcards: GPU * DEEP_PROCESSES[wildcards.network],
    params:
        settings=lambda wildcards: dict(
            network=wildcards.network,
            seed=SEED,
            **deep_plan.initial(DEEP_STUDY, wildcards.network),
        ),
        code=code("compare_initial.py"),
    message:
        "First centroids of {wildcards.network} compared"
    script:
        "../scripts/compare_initial.py"


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
    threads: lambda wildcards: DEEP_PROCESSES[wildcards.network]
    resources:
        mem_mb=growing(lambda wildcards: 4000 * DEEP_PROCESSES[wildcards.network]),
        runtime=growing(480),
        gpu=lambda wildcards: GPU * DEEP_PROCESSES[wildcards.network],
    params:
        settings=lambda wildcards: dict(
            network=wildcards.network,
            curve=wildcards.curve,
            seed=SEED,
            **deep_plan.curve(DEEP_STUDY, wildcards.network, wildcards.curve),
        ),
        code=code("measure_curve.py"),
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
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings={},
        code=code("collect_deep_curves.py"),
    message:
        "Collecting the curves of {wildcards.network}"
    script:
        "../scripts/collect_deep_curves.py"


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
    threads: lambda wildcards: DEEP_PROCESSES[wildcards.network]
    resources:
        mem_mb=growing(lambda wildcards: 4000 * DEEP_PROCESSES[wildcards.network]),
        runtime=growing(480),
        gpu=lambda wildcards: GPU * DEEP_PROCESSES[wildcards.network],
    params:
        settings=lambda wildcards: dict(
            network=wildcards.network,
            seed=SEED,
            **deep_plan.label_aware(DEEP_STUDY, wildcards.network),
        ),
        code=code("measure_label_aware.py"),
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
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=dict(
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
        png=reported_figure(
            "<results>/deep/label_aware.png",
            "deep_label_aware",
            "Deep Compression",
            "ratio gained by label-awareness",
        ),
    log:
        "<logs>/plot_label_aware.log",
    benchmark:
        "<benchmarks>/plot_label_aware.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=dict(
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


rule plot_deep:
    """Accuracy against ratio, weights before and after, and first centroids, of all networks."""
    input:
        stages=expand("<results>/deep/{network}/stages.csv", network=DEEP_NETWORKS),
        curves_of=expand("<results>/deep/{network}/curves.csv", network=DEEP_NETWORKS),
        weights_of=expand("<results>/deep/{network}/weights.csv", network=DEEP_NETWORKS),
        initial_of=expand("<results>/deep/{network}/initial.csv", network=DEEP_NETWORKS),
    output:
        curves=[
            "<results>/deep/curves.pdf",
            report(
                "<results>/deep/curves.png",
                caption="../report/deep_curves.rst",
                category="Deep Compression",
                labels={"figure": "curves", "shows": "accuracy against ratio"},
            ),
        ],
        weights=[
            "<results>/deep/weights.pdf",
            report(
                "<results>/deep/weights.png",
                caption="../report/deep_weights.rst",
                category="Deep Compression",
                labels={"figure": "weights", "shows": "a layer before and after"},
            ),
        ],
        initial=[
            "<results>/deep/initial.pdf",
            report(
                "<results>/deep/initial.png",
                caption="../report/deep_initial.rst",
                category="Deep Compression",
                labels={"figure": "initial", "shows": "first centroids compared"},
            ),
        ],
    log:
        "<logs>/plot_deep.log",
    benchmark:
        "<benchmarks>/plot_deep.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=dict(study=STUDY["study"], confidence=FIGURES["confidence"]),
        code=code("plot_deep.py"),
    message:
        "Drawing Deep Compression"
    script:
        "../scripts/plot_deep.py"
