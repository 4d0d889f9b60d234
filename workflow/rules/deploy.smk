"""What goes out of the study: ONNX files with integer weights, and which variant to take.

Reads: <results>/dataset/, subsets/{subset}.json, the variants' checkpoints, accuracy, tables/memory.csv
Makes: <results>/onnx/{network}/{subset}/{variant}.onnx and .csv, tables/onnx.csv, tables/deploy.csv
"""

DEPLOYED = STUDY["deploy"]


rule export_onnx:
    """Write a network in ONNX, its weights as integers."""
    input:
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        checkpoint=PLAN.own_checkpoint,
    output:
        onnx="<results>/onnx/{network}/{subset}/{variant}.onnx",
    log:
        "<logs>/export_onnx/{network}/{subset}/{variant}.log",
    benchmark:
        "<benchmarks>/export_onnx/{network}/{subset}/{variant}.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        settings={},
        code=code("export_onnx.py"),
    message:
        "Exporting {wildcards.network} for {wildcards.subset}: {wildcards.variant}"
    script:
        "../scripts/export_onnx.py"


rule evaluate_onnx:
    """Run an ONNX file in ONNX Runtime, and compare it with the network that was evaluated."""
    input:
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        subset="<results>/subsets/{subset}.json",
        checkpoint=PLAN.own_checkpoint,
        original="<results>/models/{network}/original.safetensors",
        accuracy="<results>/accuracy/{network}/{subset}.csv",
        onnx="<results>/onnx/{network}/{subset}/{variant}.onnx",
    output:
        table="<results>/onnx/{network}/{subset}/{variant}.csv",
    log:
        "<logs>/evaluate_onnx/{network}/{subset}/{variant}.log",
    benchmark:
        "<benchmarks>/evaluate_onnx/{network}/{subset}/{variant}.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        settings=lambda wildcards: dict(
            network=wildcards.network,
            variant=VARIANTS[wildcards.variant]["variant"],
            repeat=VARIANTS[wildcards.variant]["repeat"],
        ),
        code=code("evaluate_onnx.py"),
    message:
        "Running {wildcards.network} for {wildcards.subset} in ONNX Runtime: {wildcards.variant}"
    script:
        "../scripts/evaluate_onnx.py"


if DEPLOYED["variants"]:

    rule collect_onnx:
        """Put what was found of all ONNX files into one table."""
        input:
            tables=PLAN.exported("csv"),
        output:
            table=reported("<results>/tables/onnx.csv"),
        log:
            "<logs>/collect_onnx.log",
        benchmark:
            "<benchmarks>/collect_onnx.tsv"
        conda:
            "../../envs/laq.yaml"
        resources:
            mem_mb=growing(1000),
            runtime=growing(10),
        params:
            settings={},
            code=code("collect_tables.py"),
        message:
            "Collecting what was found of ONNX files"
        script:
            "../scripts/collect_tables.py"


rule choose_variants:
    """Recommend a variant of every network for every subset."""
    input:
        accuracy="<results>/accuracy.csv",
        memory="<results>/tables/memory.csv",
    output:
        deploy=reported("<results>/tables/deploy.csv"),
    log:
        "<logs>/choose_variants.log",
    benchmark:
        "<benchmarks>/choose_variants.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=dict(tolerance=DEPLOYED["tolerance"], confidence=FIGURES["confidence"]),
        code=code("choose_variants.py"),
    message:
        "Choosing variants to deploy"
    script:
        "../scripts/choose_variants.py"
