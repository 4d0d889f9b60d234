"""Partial quantization-aware training: how many layers, which ones, at what price.

Reads: <results>/dataset/, subsets/{subset}.json, models/{network}/original.safetensors
Makes: <results>/partial_qat/{network}/{arms}.csv, tensors.csv; partial_qat/runs.csv, seconds.csv,
       formula.csv, prediction.csv, recommendation.csv, hypotheses.csv and .html;
       partial_qat/accuracy, size, bandwidth, position, pareto, each as .pdf and .png
"""

from laq.config import partial_jobs

PARTIAL = STUDY["partial_qat"]
PARTIAL_NETWORKS = partial_jobs.networks(PARTIAL, STUDY["networks"])
PARTIAL_JOBS = {network: partial_jobs.names(PARTIAL, network) for network in PARTIAL_NETWORKS}
PARTIAL_STEMS = [
    f"<results>/partial_qat/{network}/{arms}"
    for network in PARTIAL_NETWORKS
    for arms in PARTIAL_JOBS[network]
]
PARTIAL_FOUND = ["formula", "prediction", "recommendation", "hypotheses"]
PARTIAL_FIGURES = {
    "accuracy": "accuracy by number of quantized layers",
    "size": "bytes of the file by number of quantized layers",
    "bandwidth": "bytes sent by number of quantized layers",
    **({"position": "what a single layer costs"} if "single" in PARTIAL["positions"] else {}),
    "pareto": "accuracy against bytes",
}
PARTIAL_PLOTS = {
    name: [
        f"<results>/partial_qat/{name}.pdf",
        reported_figure(
            f"<results>/partial_qat/{name}.png", f"partial_{name}", "Partial training", shows
        ),
    ]
    for name, shows in PARTIAL_FIGURES.items()
}
PARTIAL_PROCESSES = PARTIAL["training"]["processes"]


# Its own target: no other artifact of the study depends on it.
rule partial_qat:
    input:
        "<results>/partial_qat/runs.csv",
        "<results>/partial_qat/seconds.csv",
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
        settings=lambda wildcards: dict(
            network=wildcards.network,
            seed=SEED,
            **partial_jobs.settings(PARTIAL, wildcards.network, wildcards.arms),
        ),
        code=code("measure_partial.py"),
    message:
        "Partial training of {wildcards.network}: {wildcards.arms}"
    script:
        "../scripts/measure_partial.py"


rule collect_partial:
    """Put the measurements of all arms into one table, their times into another, and a network's
    tensors into one of its own."""
    input:
        tables=[f"{stem}.csv" for stem in PARTIAL_STEMS],
        times=[f"{stem}.seconds.csv" for stem in PARTIAL_STEMS],
        told=[f"{stem}.tensors.csv" for stem in PARTIAL_STEMS],
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
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=dict(networks=PARTIAL_NETWORKS),
        code=code("collect_partial.py"),
    message:
        "Collecting partial training"
    script:
        "../scripts/collect_partial.py"


rule fit_formula:
    """Fit accuracy and bytes to what is quantized, foretell another network, recommend layers."""
    input:
        runs="<results>/partial_qat/runs.csv",
        tensors=expand("<results>/partial_qat/{network}/tensors.csv", network=PARTIAL_NETWORKS),
    output:
        formula=reported("<results>/partial_qat/formula.csv"),
        prediction=reported("<results>/partial_qat/prediction.csv"),
        recommendation=reported("<results>/partial_qat/recommendation.csv"),
    log:
        "<logs>/fit_formula.log",
    benchmark:
        "<benchmarks>/fit_formula.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=dict(
            networks=PARTIAL_NETWORKS,
            budgets=PARTIAL["budgets"],
            confidence=FIGURES["confidence"],
            resamples=FIGURES["resamples"],
            seed=SEED,
        ),
        code=code("fit_formula.py"),
    message:
        "Fitting the formula of partial training"
    script:
        "../scripts/fit_formula.py"


rule judge_hypotheses:
    """Judge the hypotheses of partial training."""
    input:
        runs="<results>/partial_qat/runs.csv",
    output:
        hypotheses=reported("<results>/partial_qat/hypotheses.csv"),
        page=reported("<results>/partial_qat/hypotheses.html"),
    log:
        "<logs>/judge_hypotheses.log",
    benchmark:
        "<benchmarks>/judge_hypotheses.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=dict(study=STUDY["study"], confidence=FIGURES["confidence"]),
        code=code("judge_hypotheses.py"),
    message:
        "Judging the hypotheses of partial training"
    script:
        "../scripts/judge_hypotheses.py"


rule plot_partial:
    """Accuracy and bytes by number of quantized layers, single layers, and the front."""
    input:
        runs="<results>/partial_qat/runs.csv",
        formula="<results>/partial_qat/formula.csv",
    output:
        **PARTIAL_PLOTS,
    log:
        "<logs>/plot_partial.log",
    benchmark:
        "<benchmarks>/plot_partial.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=dict(study=STUDY["study"]),
        code=code("plot_partial.py"),
    message:
        "Drawing partial training"
    script:
        "../scripts/plot_partial.py"
