"""The zoo: quantizers side by side, each label-aware, label-agnostic and without data.

Reads: <results>/dataset/, subsets/{subset}.json, synthetic/, models/{network}/original.safetensors,
       tables/subsets.csv
Makes: <results>/zoo/{network}/{method}.csv, zoo/zoo.csv, zoo/methods.csv, zoo/pareto, zoo/gain
"""

from laq.config import zoo_entries

ZOO_METHODS = zoo_entries.recipes(STUDY["zoo"])
ZOO_SETTINGS = {
    name: zoo_entries.settings(name, recipe, STUDY["zoo"]["calibrations"])
    for name, recipe in ZOO_METHODS.items()
}
ZOO_PROCESSES = {name: zoo_entries.processes(recipe) for name, recipe in ZOO_METHODS.items()}
ZOO_SUBSETS = list(SUBSETS) if STUDY["zoo"]["subsets"] == "all" else STUDY["zoo"]["subsets"]


# Its own target: no other artifact of the study depends on it.
rule zoo:
    input:
        "<results>/zoo/zoo.csv",
        "<results>/zoo/methods.csv",
        expand("<results>/zoo/{figure}.{suffix}", figure=["pareto", "gain"], suffix=["pdf", "png"]),
    message:
        f"{NAME}: the zoo is in {STUDY['root']}/zoo"


rule measure_zoo:
    """Make one entry for every subset and calibration: written, weighed, read back and tested."""
    input:
        train="<results>/dataset/train.npz",
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        subsets=expand("<results>/subsets/{subset}.json", subset=ZOO_SUBSETS),
        synthetic=lambda wildcards: [
            f"<results>/synthetic/{wildcards.network}/{subset}/synthetic.npz"
            for subset in ZOO_SUBSETS
            if "synthetic" in ZOO_SETTINGS[wildcards.method]["calibrations"]
        ],
        parent="<results>/models/{network}/original.safetensors",
    output:
        table="<results>/zoo/{network}/{method}.csv",
        seconds="<results>/zoo/{network}/{method}.seconds.csv",
    log:
        "<logs>/measure_zoo/{network}/{method}.log",
    benchmark:
        "<benchmarks>/measure_zoo/{network}/{method}.tsv"
    wildcard_constraints:
        method=one_of(ZOO_METHODS),
    conda:
        "../../envs/laq.yaml"
    threads: lambda wildcards: ZOO_PROCESSES[wildcards.method]
    resources:
        mem_mb=growing(
            lambda wildcards: 8000 * ZOO_PROCESSES[wildcards.method] + STUDY["memory_mb"]
        ),
        runtime=growing(480),
        gpu=lambda wildcards: GPU * ZOO_PROCESSES[wildcards.method],
    params:
        settings=lambda wildcards: dict(
            network=wildcards.network, seed=SEED, **ZOO_SETTINGS[wildcards.method]
        ),
        code=code("measure_zoo.py"),
    message:
        "Measuring {wildcards.method} of {wildcards.network} on every subset"
    script:
        "../scripts/measure_zoo.py"


rule collect_zoo:
    """Put the measurements into one table, and what they come to into another."""
    input:
        tables=expand("<results>/zoo/{network}/{method}.csv", network=NETWORKS, method=ZOO_METHODS),
        subsets="<results>/tables/subsets.csv",
    output:
        zoo=reported("<results>/zoo/zoo.csv"),
        methods=reported("<results>/zoo/methods.csv"),
    log:
        "<logs>/collect_zoo.log",
    benchmark:
        "<benchmarks>/collect_zoo.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=dict(
            columns={name: zoo_entries.columns(recipe) for name, recipe in ZOO_METHODS.items()},
            confidence=FIGURES["confidence"],
            resamples=FIGURES["resamples"],
            seed=SEED,
        ),
        code=code("collect_zoo.py"),
    message:
        "Collecting the zoo"
    script:
        "../scripts/collect_zoo.py"


rule plot_zoo:
    """Accuracy against bytes, and what label-awareness gains, by method."""
    input:
        methods="<results>/zoo/methods.csv",
    output:
        pareto=[
            "<results>/zoo/pareto.pdf",
            report(
                "<results>/zoo/pareto.png",
                caption="../report/pareto.rst",
                category="Zoo",
                labels={"figure": "pareto", "shows": "accuracy against bytes"},
            ),
        ],
        gain=[
            "<results>/zoo/gain.pdf",
            report(
                "<results>/zoo/gain.png",
                caption="../report/gain.rst",
                category="Zoo",
                labels={"figure": "gain", "shows": "what label-awareness gains, by method"},
            ),
        ],
    log:
        "<logs>/plot_zoo.log",
    benchmark:
        "<benchmarks>/plot_zoo.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=dict(study=STUDY["study"], confidence=FIGURES["confidence"]),
        code=code("plot_zoo.py"),
    message:
        "Drawing the zoo"
    script:
        "../scripts/plot_zoo.py"
