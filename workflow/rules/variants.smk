"""Variants of a network for a subset: each is one step from its parent, as laq/steps.py lists them.

Reads: <results>/dataset/, subsets/{subset}.json, synthetic/, the parent's checkpoint
Makes: <results>/models/{network}/{subset}/{variant}.safetensors, and for each its report:
       <results>/models/{network}/{subset}/{variant}.csv (accuracy per epoch) where it trains,
       <results>/layers/{network}/{subset}/{variant}.csv (bits and error per layer) where it packs;
       <results>/tables/memory.csv, what they all take on the disk
"""


rule finetune_network:
    """Fine-tune the parent on the subset's training images."""
    input:
        train="<results>/dataset/train.npz",
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        subset="<results>/subsets/{subset}.json",
        parent=parent_checkpoint,
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
    threads: finetuning_processes
    resources:
        mem_mb=growing(lambda wildcards: 4000 * finetuning_processes(wildcards)),
        runtime=growing(120),
        gpu=lambda wildcards: GPU * finetuning_processes(wildcards),
    params:
        settings=lambda wildcards: variant_settings(wildcards.variant),
        code=lambda wildcards: network_code("finetune_network.py", wildcards.network),
    message:
        "Fine-tuning {wildcards.network} on {wildcards.subset}: {wildcards.variant}"
    script:
        "../scripts/finetune_network.py"


rule compress_network:
    """Quantize the parent, calibrated on training images or on images made without data."""
    input:
        train="<results>/dataset/train.npz",
        made=made_for_variant,
        classes="<results>/dataset/classes.json",
        subset="<results>/subsets/{subset}.json",
        calibration=calibration_subset,
        parent=parent_checkpoint,
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
    threads: 1
    resources:
        mem_mb=growing(8000 + STUDY["memory_mb"]),
        runtime=growing(120),
        gpu=GPU,
    params:
        settings=lambda wildcards: variant_settings(wildcards.variant),
        code=compress_code,
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
        parent=parent_checkpoint,
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
    threads: finetuning_processes
    resources:
        mem_mb=growing(lambda wildcards: 4000 * finetuning_processes(wildcards)),
        runtime=growing(120),
        gpu=lambda wildcards: GPU * finetuning_processes(wildcards),
    params:
        settings=lambda wildcards: variant_settings(wildcards.variant),
        code=qat_code,
    message:
        "Training {wildcards.network} quantized for {wildcards.subset}: {wildcards.variant}"
    script:
        "../scripts/train_quantized.py"


rule measure_memory:
    """Measure every checkpoint on the disk."""
    input:
        originals=expand("<results>/models/{network}/original.safetensors", network=NETWORKS),
        checkpoints=variant_files("<results>/models/{network}/{subset}/{variant}.safetensors", MADE),
        layers=variant_files("<results>/layers/{network}/{subset}/{variant}.csv", PACKED),
    output:
        memory=reported("<results>/tables/memory.csv"),
    log:
        "<logs>/measure_memory.log",
    benchmark:
        "<benchmarks>/measure_memory.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=settings_text(
            networks=list(NETWORKS),
            subsets=list(SUBSETS),
            variants=variants_and_repeats(*MADE),
            compressed=variants_and_repeats(*PACKED),
        ),
        code=code("measure_memory.py"),
    message:
        "Measuring checkpoints"
    script:
        "../scripts/measure_memory.py"
