"""Deep Compression in numbers: networks on all classes, beside the parts of it and low rank.

Reads: <results>/dataset/, models/{network}/original.safetensors
Makes: <results>/deep/{network}/{deep,pruned,shared,ans}.safetensors, stages.csv, layers.csv,
       weights.csv, history.csv, rounds.csv, initial.csv, stages.seconds.csv, initial.seconds.csv
"""


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
    threads: deep_study_processes
    resources:
        mem_mb=growing(lambda wildcards: 4000 * deep_study_processes(wildcards)),
        runtime=growing(240),
        gpu=lambda wildcards: GPU * deep_study_processes(wildcards),
    params:
        settings=lambda wildcards: settings_text(
            network=wildcards.network,
            course=deep_plan.course(DEEP_STUDY, wildcards.network),
            seed=SEED,
        ),
        code=deep_study_code("measure_stages.py"),
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
    threads: deep_study_processes
    resources:
        mem_mb=growing(lambda wildcards: 4000 * deep_study_processes(wildcards)),
        runtime=growing(240),
        gpu=lambda wildcards: GPU * deep_study_processes(wildcards),
    params:
        settings=lambda wildcards: settings_text(
            network=wildcards.network,
            seed=SEED,
            **deep_plan.initial(DEEP_STUDY, wildcards.network),
        ),
        code=deep_study_code("compare_initial.py"),
    message:
        "First centroids of {wildcards.network} compared"
    script:
        "../scripts/compare_initial.py"
