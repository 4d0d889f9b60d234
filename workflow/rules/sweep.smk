"""What calibration does: a variant at other bits and other images, calibrated on the subset's
classes and on all.

Reads: <results>/dataset/, subsets/{subset}.json, models/{network}/original.safetensors
Makes: <results>/sweep/{network}/{subset}.csv, sweep.csv
"""


rule sweep_calibration:
    """Compress a network for a subset at every point of the sweep, and evaluate each."""
    input:
        train="<results>/dataset/train.npz",
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        subset="<results>/subsets/{subset}.json",
        parent="<results>/models/{network}/original.safetensors",
    output:
        sweep="<results>/sweep/{network}/{subset}.csv",
    log:
        "<logs>/sweep_calibration/{network}/{subset}.log",
    benchmark:
        "<benchmarks>/sweep_calibration/{network}/{subset}.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000 + STUDY["memory_mb"]),
        runtime=growing(240),
        gpu=GPU,
    params:
        settings=sweep_settings("sweep", levels=["bits", "images"], crossed=False),
        code=sweep_code("sweep"),
    message:
        "Sweeping bits and calibration images of {wildcards.network} for {wildcards.subset}"
    script:
        "../scripts/sweep_calibration.py"


rule collect_sweep:
    """Put the sweeps of all networks and subsets into one table."""
    input:
        tables=expand("<results>/sweep/{network}/{subset}.csv", network=NETWORKS, subset=SUBSETS),
    output:
        table=reported("<results>/sweep.csv"),
    log:
        "<logs>/collect_sweep.log",
    benchmark:
        "<benchmarks>/collect_sweep.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=settings_text(),
        code=code("collect_tables.py"),
    message:
        "Collecting the sweep"
    script:
        "../scripts/collect_tables.py"
