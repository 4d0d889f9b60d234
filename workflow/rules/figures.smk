"""Figures of what the study is made of: its classes, a layer's weights, the files' sizes.

Reads: <results>/dataset/, umap/coordinates.parquet, tables/memory.csv, two checkpoints
Makes: <results>/figures/fig1, fig4 and fig7, each as .pdf and .png
"""


rule plot_classes:
    """Figure 1: the classes in the UMAP plane, each as an example image, with its spread."""
    input:
        train="<results>/dataset/train.npz",
        classes="<results>/dataset/classes.json",
        coordinates="<results>/umap/coordinates.parquet",
    output:
        pdf="<results>/figures/fig1.pdf",
        png=report(
            "<results>/figures/fig1.png",
            caption="../report/fig1.rst",
            category="Figures",
            labels={"figure": "1", "shows": "classes in the UMAP plane"},
        ),
    log:
        "<logs>/plot_classes.log",
    benchmark:
        "<benchmarks>/plot_classes.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(10),
    params:
        settings=settings_text(study=STUDY["study"], shrinkage=STUDY["icd"]["shrinkage"]),
        code=code("plot_classes.py"),
    message:
        "Drawing figure 1"
    script:
        "../scripts/plot_classes.py"


rule plot_weights:
    """Figure 4: a layer's weights before quantization, and the levels they went to."""
    input:
        **example_checkpoints(),
        train=example_dataset("<results>/dataset/train.npz"),
        classes=example_dataset("<results>/dataset/classes.json"),
    output:
        pdf="<results>/figures/fig4.pdf",
        png=report(
            "<results>/figures/fig4.png",
            caption="../report/fig4.rst",
            category="Figures",
            labels={"figure": "4", "shows": "weights before and after quantization"},
        ),
    log:
        "<logs>/plot_weights.log",
    benchmark:
        "<benchmarks>/plot_weights.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(10),
    params:
        settings=settings_text(study=STUDY["study"], **weights_example()),
        code=network_code("plot_weights.py", weights_example()["network"]),
    message:
        "Drawing figure 4"
    script:
        "../scripts/plot_weights.py"


rule plot_memory:
    """Figure 7: what every variant takes on the disk."""
    input:
        memory="<results>/tables/memory.csv",
    output:
        pdf="<results>/figures/fig7.pdf",
        png=report(
            "<results>/figures/fig7.png",
            caption="../report/fig7.rst",
            category="Figures",
            labels={"figure": "7", "shows": "memory on disk"},
        ),
    log:
        "<logs>/plot_memory.log",
    benchmark:
        "<benchmarks>/plot_memory.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=settings_text(study=STUDY["study"], variants=list(STUDY["variants"])),
        code=code("plot_memory.py"),
    message:
        "Drawing figure 7"
    script:
        "../scripts/plot_memory.py"
