"""Calibration images made without data: from a network's BatchNorm statistics, of given classes or of none.

Reads: <results>/models/{network}/original.safetensors, dataset/classes.json, subsets/{subset}.json;
       for the figure dataset/train.npz
Makes: <results>/synthetic/{network}/{classes}/{kind}.npz, {kind}.csv, figures/synthetic
"""

EXAMPLE, EXAMPLE_FILES, EXAMPLE_ROWS = PLAN.shown_images()


rule synthesize_images:
    """Make images that a network takes for its training data, of the classes asked for."""
    input:
        parent="<results>/models/{network}/original.safetensors",
        classes="<results>/dataset/classes.json",
        subset=lambda wildcards: (
            "<results>/subsets/{classes}.json" if wildcards.classes in SUBSETS else []
        ),
    output:
        images="<results>/synthetic/{network}/{classes}/{kind}.npz",
        course="<results>/synthetic/{network}/{classes}/{kind}.csv",
    log:
        "<logs>/synthesize_images/{network}/{classes}/{kind}.log",
    benchmark:
        "<benchmarks>/synthesize_images/{network}/{classes}/{kind}.tsv"
    wildcard_constraints:
        classes=one_of([*SUBSETS, "all", "none"]),
        kind=one_of(["synthetic", "generated"]),
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
        gpu=GPU,
    params:
        settings=lambda wildcards: PLAN.synthesis_settings(**wildcards),
        code=code("synthesize_images.py"),
    message:
        "Making {wildcards.kind} images of {wildcards.network} for {wildcards.classes}"
    script:
        "../scripts/synthesize_images.py"


rule plot_synthetic:
    """Images made without data, beside training images of the same classes."""
    input:
        train="<results>/dataset/train.npz",
        classes="<results>/dataset/classes.json",
        subset=f"<results>/subsets/{EXAMPLE['subset']}.json",
        made=EXAMPLE_FILES,
    output:
        pdf="<results>/figures/synthetic.pdf",
        png=reported_figure(
            "<results>/figures/synthetic.png",
            "synthetic",
            "Figures",
            "calibration images made without data",
        ),
    log:
        "<logs>/plot_synthetic.log",
    benchmark:
        "<benchmarks>/plot_synthetic.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(10),
    params:
        settings=dict(
            study=STUDY["study"],
            network=EXAMPLE["network"],
            rows=EXAMPLE_ROWS,
            columns=EXAMPLE["columns"],
        ),
        code=code("plot_synthetic.py"),
    message:
        "Drawing images made without data"
    script:
        "../scripts/plot_synthetic.py"
