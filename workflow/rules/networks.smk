"""Trained networks.

Reads: <results>/dataset/, a file of weights where the config names one
Makes: <results>/models/{network}/original.safetensors, training.csv
"""


rule train_network:
    """Train a network on all classes, or take weights that were; training.csv has its accuracy."""
    input:
        train="<results>/dataset/train.npz",
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        published=lambda wildcards: unverified_file(PLAN.trainable[wildcards.network]),
    output:
        checkpoint="<results>/models/{network}/original.safetensors",
        history="<results>/models/{network}/training.csv",
    log:
        "<logs>/train_network/{network}.log",
    benchmark:
        "<benchmarks>/train_network/{network}.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: lambda wildcards: THREADS * PLAN.training_processes(wildcards.network)
    resources:
        mem_mb=growing(lambda wildcards: 8000 * PLAN.training_processes(wildcards.network)),
        runtime=growing(240),
        gpu=lambda wildcards: GPU * PLAN.training_processes(wildcards.network),
    params:
        settings=lambda wildcards: PLAN.network_settings(wildcards.network),
        code=code("train_network.py"),
    message:
        "Making {wildcards.network}, for all classes"
    script:
        "../scripts/train_network.py"
