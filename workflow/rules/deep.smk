"""Deep Compression: variants that are pruned, share their weights' values, and are entropy-coded.

Reads: <results>/dataset/, subsets/{subset}.json, the parent's checkpoint
Makes: <results>/models/{network}/{subset}/{variant}.safetensors with .csv (accuracy per epoch),
       <results>/layers/{network}/{subset}/{variant}.csv (bits and bytes per layer),
       <results>/deep/{network}/{subset}/{variant}/stages.csv (what each stage takes and scores),
       <results>/deep/{network}/{subset}/{variant}/rounds.csv (what layers lost and kept)
"""


rule deep_compress_network:
    """Prune the parent round by round, cluster its weights, train the centroids, and code it."""
    input:
        train="<results>/dataset/train.npz",
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        subset="<results>/subsets/{subset}.json",
        parent=parent_checkpoint,
    output:
        checkpoint="<results>/models/{network}/{subset}/{variant}.safetensors",
        history="<results>/models/{network}/{subset}/{variant}.csv",
        layers="<results>/layers/{network}/{subset}/{variant}.csv",
        stages="<results>/deep/{network}/{subset}/{variant}/stages.csv",
        rounds="<results>/deep/{network}/{subset}/{variant}/rounds.csv",
    log:
        "<logs>/deep_compress_network/{network}/{subset}/{variant}.log",
    benchmark:
        "<benchmarks>/deep_compress_network/{network}/{subset}/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(DEEP),
    conda:
        "../../envs/laq.yaml"
    threads: finetuning_processes
    resources:
        mem_mb=growing(lambda wildcards: 4000 * finetuning_processes(wildcards)),
        runtime=growing(120),
        gpu=lambda wildcards: GPU * finetuning_processes(wildcards),
    params:
        settings=lambda wildcards: variant_settings(wildcards.variant),
        code=deep_code,
    message:
        "Deep Compression of {wildcards.network} for {wildcards.subset}: {wildcards.variant}"
    script:
        "../scripts/deep_compress_network.py"
