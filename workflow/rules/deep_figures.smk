"""Figures of Deep Compression on all classes.

Reads: <results>/deep/{network}/stages.csv, curves.csv, weights.csv, initial.csv
Makes: <results>/deep/curves, deep/weights and deep/initial, each as .pdf and .png
"""


rule plot_deep:
    """Accuracy against ratio, weights before and after, and first centroids, of all networks."""
    input:
        stages=expand("<results>/deep/{network}/stages.csv", network=DEEP_NETWORKS),
        curves_of=expand("<results>/deep/{network}/curves.csv", network=DEEP_NETWORKS),
        weights_of=expand("<results>/deep/{network}/weights.csv", network=DEEP_NETWORKS),
        initial_of=expand("<results>/deep/{network}/initial.csv", network=DEEP_NETWORKS),
    output:
        curves=[
            "<results>/deep/curves.pdf",
            report(
                "<results>/deep/curves.png",
                caption="../report/deep_curves.rst",
                category="Deep Compression",
                labels={"figure": "curves", "shows": "accuracy against ratio"},
            ),
        ],
        weights=[
            "<results>/deep/weights.pdf",
            report(
                "<results>/deep/weights.png",
                caption="../report/deep_weights.rst",
                category="Deep Compression",
                labels={"figure": "weights", "shows": "a layer before and after"},
            ),
        ],
        initial=[
            "<results>/deep/initial.pdf",
            report(
                "<results>/deep/initial.png",
                caption="../report/deep_initial.rst",
                category="Deep Compression",
                labels={"figure": "initial", "shows": "first centroids compared"},
            ),
        ],
    log:
        "<logs>/plot_deep.log",
    benchmark:
        "<benchmarks>/plot_deep.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=settings_text(study=STUDY["study"], confidence=FIGURES["confidence"]),
        code=code("plot_deep.py"),
    message:
        "Drawing Deep Compression"
    script:
        "../scripts/plot_deep.py"
