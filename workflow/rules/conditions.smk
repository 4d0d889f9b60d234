"""What moves answers into the subset: a variant at every combination of settings, and verdicts.

Reads: <results>/dataset/, subsets/{subset}.json, models/{network}/original.safetensors, accuracy.csv
Makes: <results>/conditions/{network}/{subset}.csv, conditions.csv, tables/conditions.csv,
       figures/conditions
"""

CROSSED = ["bits", "scale", "images", "ridge", "layers"]


rule sweep_conditions:
    """Compress a network for a subset at every combination of settings, and evaluate each."""
    input:
        train="<results>/dataset/train.npz",
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        subset="<results>/subsets/{subset}.json",
        parent="<results>/models/{network}/original.safetensors",
    output:
        sweep="<results>/conditions/{network}/{subset}.csv",
    log:
        "<logs>/sweep_conditions/{network}/{subset}.log",
    benchmark:
        "<benchmarks>/sweep_conditions/{network}/{subset}.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000 + STUDY["memory_mb"]),
        runtime=growing(480),
        gpu=GPU,
    params:
        settings=sweep_settings("conditions", levels=CROSSED, crossed=True),
        code=sweep_code("conditions"),
    message:
        "Combining settings of {wildcards.network} for {wildcards.subset}"
    script:
        "../scripts/sweep_calibration.py"


rule collect_conditions:
    """Put the combinations of all networks and subsets into one table."""
    input:
        tables=condition_tables(),
    output:
        table=reported("<results>/conditions.csv"),
    log:
        "<logs>/collect_conditions.log",
    benchmark:
        "<benchmarks>/collect_conditions.tsv"
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
        "Collecting the combinations of settings"
    script:
        "../scripts/collect_tables.py"


rule judge_conditions:
    """Judge which settings move answers into the subset."""
    input:
        accuracy="<results>/accuracy.csv",
        subsets="<results>/tables/subsets.csv",
        trials="<results>/conditions.csv",
    output:
        conditions=reported("<results>/tables/conditions.csv"),
    log:
        "<logs>/judge_conditions.log",
    benchmark:
        "<benchmarks>/judge_conditions.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=settings_text(
            base=sweep_base("conditions", CROSSED),
            confidence=FIGURES["confidence"],
        ),
        code=code("judge_conditions.py"),
    message:
        "Judging what moves answers into the subset"
    script:
        "../scripts/judge_conditions.py"


rule plot_conditions:
    """Draw what moves answers into the subset."""
    input:
        accuracy="<results>/accuracy.csv",
        subsets="<results>/tables/subsets.csv",
        trials="<results>/conditions.csv",
        conditions="<results>/tables/conditions.csv",
    output:
        pdf="<results>/figures/conditions.pdf",
        png=report(
            "<results>/figures/conditions.png",
            caption="../report/conditions.rst",
            category="Figures",
            labels={"figure": "conditions", "shows": "what moves answers into the subset"},
        ),
    log:
        "<logs>/plot_conditions.log",
    benchmark:
        "<benchmarks>/plot_conditions.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=settings_text(
            title=f"{STUDY['study']}: what moves answers into the subset?",
            base=sweep_base("conditions", CROSSED),
            confidence=FIGURES["confidence"],
        ),
        code=code("plot_conditions.py"),
    message:
        "Drawing what moves answers into the subset"
    script:
        "../scripts/plot_conditions.py"
