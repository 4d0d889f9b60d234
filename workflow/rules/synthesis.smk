"""Calibration images made without data: from a network's BatchNorm statistics, of given classes or of none.

Reads: <results>/models/{network}/original.safetensors, dataset/classes.json, subsets/{subset}.json;
       for the figure dataset/train.npz
Makes: <results>/synthetic/{network}/{classes}/{kind}.npz, {kind}.csv, figures/synthetic
"""


def made_images():
    """All images that are made, and how their losses fell."""
    pairs = study_config.made_images(STUDY, SUBSETS)
    return [
        f"<results>/synthetic/{network}/{classes}/{kind}.{suffix}"
        for network in NETWORKS
        for classes, kind in pairs
        for suffix in ("npz", "csv")
    ]


def calibration_images(wildcards):
    """The images that calibrate a variant: training images, or those made for its classes."""
    settings = VARIANTS[wildcards.variant]["compress"]
    if not study_config.calibrates_on_made(settings):
        return "<results>/dataset/train.npz"
    classes = wildcards.subset if settings["classes"] == "subset" else settings["classes"]
    return f"<results>/synthetic/{wildcards.network}/{classes}/{settings['images_from']}.npz"


def asked_subset(wildcards):
    """The subset whose classes images are made of; none where they are of all, or of no class."""
    of_one = wildcards.classes not in ("all", "none")
    return f"<results>/subsets/{wildcards.classes}.json" if of_one else []


def synthesis_settings(network, classes, kind):
    """Settings of making images: of the config's, those that make a difference to them."""
    used = study_config.synthesis_effect(STUDY["synthesis"], classes, kind)
    return settings_text(network=network, asked=classes, kind=kind, synthesis=used, seed=SEED)


def shown_images():
    """What the figure shows: network and subset, and of each row its file, classes and kind."""
    chosen = {
        "network": next(iter(NETWORKS)),
        "subset": next(iter(SUBSETS)),
        **FIGURES["synthetic"],
    }
    rows = study_config.made_images(STUDY, [chosen["subset"]])
    place = f"<results>/synthetic/{chosen['network']}"
    return chosen, [f"{place}/{classes}/{kind}.npz" for classes, kind in rows], rows


EXAMPLE, EXAMPLE_FILES, EXAMPLE_ROWS = shown_images()


rule synthesize_images:
    """Make images that a network takes for its training data, of the classes asked for."""
    input:
        parent="<results>/models/{network}/original.safetensors",
        classes="<results>/dataset/classes.json",
        subset=asked_subset,
    output:
        images="<results>/synthetic/{network}/{classes}/{kind}.npz",
        course="<results>/synthetic/{network}/{classes}/{kind}.csv",
    log:
        "<logs>/synthesize_images/{network}/{classes}/{kind}.log",
    benchmark:
        "<benchmarks>/synthesize_images/{network}/{classes}/{kind}.tsv"
    wildcard_constraints:
        classes=one_of([*SUBSETS, "all", "none"]),
        kind=one_of(kinds.KINDS),
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
        gpu=GPU,
    params:
        settings=lambda wildcards: synthesis_settings(**wildcards),
        code=lambda wildcards: code("synthesize_images.py", kinds.KINDS[wildcards.kind]),
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
        png=report(
            "<results>/figures/synthetic.png",
            caption="../report/synthetic.rst",
            category="Figures",
            labels={"figure": "synthetic", "shows": "calibration images made without data"},
        ),
    log:
        "<logs>/plot_synthetic.log",
    benchmark:
        "<benchmarks>/plot_synthetic.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(10),
    params:
        settings=settings_text(
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
