"""Variants of a network for a subset: each is one step from its parent, as laq/config/recipes.py lists them.

Reads: <results>/dataset/, subsets/{subset}.json, synthetic/, the parent's checkpoint
Makes: <results>/models/{network}/{subset}/{variant}.safetensors, and for each its report:
       <results>/models/{network}/{subset}/{variant}.csv (accuracy per epoch) where it trains,
       <results>/layers/{network}/{subset}/{variant}.csv (bits and error per layer) where it packs,
       <results>/deep/{network}/{subset}/{variant}/stages.csv and rounds.csv of Deep Compression;
       <results>/tables/memory.csv, what they all take on the disk;
       <results>/accuracy/{network}/{subset}.csv and accuracy.csv, top-1 on the subsets' test images
"""


rule finetune_network:
    """Fine-tune the parent on the subset's training images."""
    input:
        train="<results>/dataset/train.npz",
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        subset="<results>/subsets/{subset}.json",
        parent=PLAN.parent_checkpoint,
    output:
        checkpoint="<results>/models/{network}/{subset}/{variant}.safetensors",
        history="<results>/models/{network}/{subset}/{variant}.csv",
    log:
        "<logs>/finetune_network/{network}/{subset}/{variant}.log",
    benchmark:
        "<benchmarks>/finetune_network/{network}/{subset}/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(study_config.variants_with(STUDY, "finetune")),
    conda:
        "../../envs/laq.yaml"
    threads: PLAN.variant_processes
    resources:
        mem_mb=growing(lambda wildcards: 4000 * PLAN.variant_processes(wildcards)),
        runtime=growing(120),
        gpu=lambda wildcards: GPU * PLAN.variant_processes(wildcards),
    params:
        settings=lambda wildcards: PLAN.variant_settings(wildcards.variant),
        code=code("finetune_network.py"),
    message:
        "Fine-tuning {wildcards.network} on {wildcards.subset}: {wildcards.variant}"
    script:
        "../scripts/finetune_network.py"


rule compress_network:
    """Quantize the parent, calibrated on training images or on images made without data."""
    input:
        train="<results>/dataset/train.npz",
        made=PLAN.made_for_variant,
        classes="<results>/dataset/classes.json",
        subset="<results>/subsets/{subset}.json",
        calibration=PLAN.calibration_subset,
        parent=PLAN.parent_checkpoint,
    output:
        checkpoint="<results>/models/{network}/{subset}/{variant}.safetensors",
        layers="<results>/layers/{network}/{subset}/{variant}.csv",
    log:
        "<logs>/compress_network/{network}/{subset}/{variant}.log",
    benchmark:
        "<benchmarks>/compress_network/{network}/{subset}/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(study_config.variants_with(STUDY, "compress")),
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(8000 + STUDY["memory_mb"]),
        runtime=growing(120),
        gpu=GPU,
    params:
        settings=lambda wildcards: PLAN.variant_settings(wildcards.variant),
        code=code("compress_network.py"),
    message:
        "Compressing {wildcards.network} for {wildcards.subset}: {wildcards.variant}"
    script:
        "../scripts/compress_network.py"


rule train_quantized:
    """Train the parent on with its weights on grids: quantization-aware training."""
    input:
        train="<results>/dataset/train.npz",
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        subset="<results>/subsets/{subset}.json",
        parent=PLAN.parent_checkpoint,
    output:
        checkpoint="<results>/models/{network}/{subset}/{variant}.safetensors",
        history="<results>/models/{network}/{subset}/{variant}.csv",
        layers="<results>/layers/{network}/{subset}/{variant}.csv",
    log:
        "<logs>/train_quantized/{network}/{subset}/{variant}.log",
    benchmark:
        "<benchmarks>/train_quantized/{network}/{subset}/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(study_config.variants_with(STUDY, "qat")),
    conda:
        "../../envs/laq.yaml"
    threads: PLAN.variant_processes
    resources:
        mem_mb=growing(lambda wildcards: 4000 * PLAN.variant_processes(wildcards)),
        runtime=growing(120),
        gpu=lambda wildcards: GPU * PLAN.variant_processes(wildcards),
    params:
        settings=lambda wildcards: PLAN.variant_settings(wildcards.variant),
        code=code("train_quantized.py"),
    message:
        "Training {wildcards.network} quantized for {wildcards.subset}: {wildcards.variant}"
    script:
        "../scripts/train_quantized.py"


rule measure_memory:
    """Measure every checkpoint on the disk."""
    input:
        originals=expand("<results>/models/{network}/original.safetensors", network=NETWORKS),
        checkpoints=PLAN.variant_files(
            "<results>/models/{network}/{subset}/{variant}.safetensors", PLAN.made
        ),
        layers=PLAN.variant_files("<results>/layers/{network}/{subset}/{variant}.csv", PLAN.packed),
    output:
        memory=reported("<results>/tables/memory.csv"),
    log:
        "<logs>/measure_memory.log",
    benchmark:
        "<benchmarks>/measure_memory.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=dict(
            networks=list(NETWORKS),
            subsets=list(SUBSETS),
            variants=PLAN.variants_and_repeats(PLAN.made),
            compressed=PLAN.variants_and_repeats(PLAN.packed),
        ),
        code=code("measure_memory.py"),
    message:
        "Measuring checkpoints"
    script:
        "../scripts/measure_memory.py"


if PLAN.deep:

    rule deep_compress_network:
        """Prune the parent round by round, cluster its weights, train the centroids, and code it."""
        input:
            train="<results>/dataset/train.npz",
            test="<results>/dataset/test.npz",
            classes="<results>/dataset/classes.json",
            subset="<results>/subsets/{subset}.json",
            parent=PLAN.parent_checkpoint,
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
            variant=one_of(PLAN.deep),
        conda:
            "../../envs/laq.yaml"
        threads: PLAN.variant_processes
        resources:
            mem_mb=growing(lambda wildcards: 4000 * PLAN.variant_processes(wildcards)),
            runtime=growing(120),
            gpu=lambda wildcards: GPU * PLAN.variant_processes(wildcards),
        params:
            settings=lambda wildcards: PLAN.variant_settings(wildcards.variant),
            code=code("deep_compress_network.py"),
        message:
            "Deep Compression of {wildcards.network} for {wildcards.subset}: {wildcards.variant}"
        script:
            "../scripts/deep_compress_network.py"


rule evaluate_subset:
    """Evaluate all variants of a network over all classes and over the subset's."""
    input:
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        subset="<results>/subsets/{subset}.json",
        checkpoints=PLAN.all_checkpoints,
    output:
        accuracy="<results>/accuracy/{network}/{subset}.csv",
    log:
        "<logs>/evaluate_subset/{network}/{subset}.log",
    benchmark:
        "<benchmarks>/evaluate_subset/{network}/{subset}.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        gpu=GPU,
    params:
        settings=lambda wildcards: dict(
            network=wildcards.network, variants=PLAN.variants_and_repeats(VARIANTS)
        ),
        code=code("evaluate_subset.py"),
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
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings={},
        code=code("collect_tables.py"),
    message:
        "Collecting accuracies"
    script:
        "../scripts/collect_tables.py"
