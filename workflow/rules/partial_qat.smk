"""Partial quantization-aware training: how many layers, which ones, at what price.

Reads: <results>/dataset/, subsets/{subset}.json, models/{network}/original.safetensors
Makes: <results>/partial_qat/{network}/{arms}.csv, tensors.csv; partial_qat/runs.csv, seconds.csv,
       traffic.csv; what is made of these is in formulas.smk
"""


# Its own target: no other artifact of the study depends on it.
rule partial_qat:
    input:
        "<results>/partial_qat/runs.csv",
        "<results>/partial_qat/seconds.csv",
        "<results>/partial_qat/traffic.csv",
        expand("<results>/partial_qat/{network}/tensors.csv", network=PARTIAL_NETWORKS),
        expand("<results>/partial_qat/{table}.csv", table=PARTIAL_FOUND),
        "<results>/partial_qat/hypotheses.html",
        expand(
            "<results>/partial_qat/{figure}.{suffix}",
            figure=PARTIAL_FIGURES,
            suffix=["pdf", "png"],
        ),
    message:
        f"{NAME}: partial training is in {STUDY['root']}/partial_qat"


rule measure_partial:
    """Train the arms of a position at one number of bits, one after another, and measure each."""
    input:
        train="<results>/dataset/train.npz",
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        chosen=expand("<results>/subsets/{subset}.json", subset=PARTIAL["subsets"]),
        parent="<results>/models/{network}/original.safetensors",
    output:
        table="<results>/partial_qat/{network}/{arms}.csv",
        seconds="<results>/partial_qat/{network}/{arms}.seconds.csv",
        tensors="<results>/partial_qat/{network}/{arms}.tensors.csv",
    log:
        "<logs>/measure_partial/{network}/{arms}.log",
    benchmark:
        "<benchmarks>/measure_partial/{network}/{arms}.tsv"
    wildcard_constraints:
        network=one_of(PARTIAL_NETWORKS),
        arms=one_of(sorted({arms for jobs in PARTIAL_JOBS.values() for arms in jobs})),
    conda:
        "../../envs/laq.yaml"
    threads: PARTIAL_PROCESSES
    resources:
        mem_mb=growing(8000 * PARTIAL_PROCESSES + STUDY["memory_mb"]),
        runtime=growing(480),
        gpu=GPU * PARTIAL_PROCESSES,
    params:
        settings=lambda wildcards: partial_settings(**wildcards),
        code=partial_code,
    message:
        "Partial training of {wildcards.network}: {wildcards.arms}"
    script:
        "../scripts/measure_partial.py"


rule collect_partial:
    """Put the measurements of all arms into one table, their times into another, and a network's
    tensors into one of its own."""
    input:
        tables=partial_tables(),
        times=partial_tables(".seconds"),
        told=partial_tables(".tensors"),
    output:
        runs=reported("<results>/partial_qat/runs.csv"),
        seconds="<results>/partial_qat/seconds.csv",
        tensors=expand("<results>/partial_qat/{network}/tensors.csv", network=PARTIAL_NETWORKS),
    log:
        "<logs>/collect_partial.log",
    benchmark:
        "<benchmarks>/collect_partial.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=settings_text(networks=PARTIAL_NETWORKS),
        code=code("collect_partial.py"),
    message:
        "Collecting partial training"
    script:
        "../scripts/collect_partial.py"


rule count_traffic:
    """Count the bytes of a training step of a few arms of every network in two real processes."""
    input:
        classes="<results>/dataset/classes.json",
        parents=expand("<results>/models/{network}/original.safetensors", network=PARTIAL_NETWORKS),
    output:
        table=reported("<results>/partial_qat/traffic.csv"),
    log:
        "<logs>/count_traffic.log",
    benchmark:
        "<benchmarks>/count_traffic.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 2
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        settings=traffic_settings(),
        code=traffic_code(),
    message:
        "Counting the bytes of partial training's steps"
    script:
        "../scripts/count_traffic.py"
