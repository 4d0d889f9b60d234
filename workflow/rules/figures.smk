"""Figures of what the study is made of, and the road of the study from Snakemake's own rule graph.

Reads: <results>/dataset/, umap/coordinates.parquet, tables/memory.csv, two checkpoints; what lies on
       the road, for the shapes in the boxes
Makes: <results>/figures/fig1, fig4 and fig7, fig2 (preprocessing) and fig3 (experiment), each as .pdf
       and .png
"""

# Rules that tell of the study or take something out of it, and are no step of its road.
NO_STEPS = ["all", "plot_preprocessing", "plot_experiment", "record_provenance", "write_pages"]
NO_STEPS += ["export_onnx", "evaluate_onnx", "collect_onnx", "choose_variants"]
NO_STEPS += ["zoo", "measure_zoo", "collect_zoo", "plot_zoo"]
NO_STEPS += ["deep_compression", "measure_stages", "measure_curve", "collect_deep_curves"]
NO_STEPS += ["compare_initial", "plot_deep"]
NO_STEPS += ["measure_label_aware", "judge_ratio_gained", "plot_label_aware"]


rule plot_classes:
    """Figure 1: the classes in the UMAP plane, each as an example image, with its spread."""
    input:
        train="<results>/dataset/train.npz",
        classes="<results>/dataset/classes.json",
        coordinates="<results>/umap/coordinates.parquet",
    output:
        pdf="<results>/figures/fig1.pdf",
        png=reported_figure(
            "<results>/figures/fig1.png", "fig1", "Figures", "classes in the UMAP plane"
        ),
    log:
        "<logs>/plot_classes.log",
    benchmark:
        "<benchmarks>/plot_classes.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(10),
    params:
        settings=dict(study=STUDY["study"], shrinkage=STUDY["icd"]["shrinkage"]),
        code=code("plot_classes.py"),
    message:
        "Drawing figure 1"
    script:
        "../scripts/plot_classes.py"


rule plot_weights:
    """Figure 4: a layer's weights before quantization, and the levels they went to."""
    input:
        **PLAN.weights_inputs(),
    output:
        pdf="<results>/figures/fig4.pdf",
        png=reported_figure(
            "<results>/figures/fig4.png",
            "fig4",
            "Figures",
            "weights before and after quantization",
        ),
    log:
        "<logs>/plot_weights.log",
    benchmark:
        "<benchmarks>/plot_weights.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(10),
    params:
        settings=dict(study=STUDY["study"], **PLAN.weights_example()),
        code=code("plot_weights.py"),
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
        png=reported_figure("<results>/figures/fig7.png", "fig7", "Figures", "memory on disk"),
    log:
        "<logs>/plot_memory.log",
    benchmark:
        "<benchmarks>/plot_memory.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=dict(study=STUDY["study"], variants=list(STUDY["variants"])),
        code=code("plot_memory.py"),
    message:
        "Drawing figure 7"
    script:
        "../scripts/plot_memory.py"


rule plot_preprocessing:
    """Figure 2: the road from images to subsets, with the shapes of what its rules make."""
    input:
        artifacts=[
            expand("<results>/dataset/{file}", file=["train.npz", "test.npz", "classes.json"]),
            PLAN.features_checkpoint(),
            "<results>/features/train.parquet",
            "<results>/umap/coordinates.parquet",
            "<results>/icd/kl_matrix.parquet",
            expand("<results>/subsets/{subset}.json", subset=SUBSETS),
        ],
    output:
        pdf="<results>/figures/fig2.pdf",
        png=reported_figure(
            "<results>/figures/fig2.png", "fig2", "Figures", "the preprocessing road"
        ),
    log:
        "<logs>/plot_preprocessing.log",
    benchmark:
        "<benchmarks>/plot_preprocessing.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=lambda wildcards: road_settings(
            NO_STEPS, "preprocessing", "from images to class subsets", [], None
        ),
        source=STUDY["features"]["source"],
        rules=RULES_DIGEST,
        code=code("plot_roads.py"),
    message:
        "Drawing figure 2"
    script:
        "../scripts/plot_roads.py"


rule plot_experiment:
    """Figure 3: the experimental setup, from networks and subsets to accuracy and verdicts."""
    input:
        artifacts=PLAN.artifacts(),
    output:
        pdf="<results>/figures/fig3.pdf",
        png=reported_figure(
            "<results>/figures/fig3.png", "fig3", "Figures", "the experimental setup"
        ),
    log:
        "<logs>/plot_experiment.log",
    benchmark:
        "<benchmarks>/plot_experiment.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=lambda wildcards: road_settings(
            NO_STEPS,
            "experiment",
            "from networks and subsets to verdicts",
            list(study_config.effective_variants(STUDY).items()),
            STUDY.get("sweep"),
        ),
        study=dict(
            source=STUDY["features"]["source"],
            figures=PLAN.figures(),
        ),
        rules=RULES_DIGEST,
        code=code("plot_roads.py"),
    message:
        "Drawing figure 3"
    script:
        "../scripts/plot_roads.py"
