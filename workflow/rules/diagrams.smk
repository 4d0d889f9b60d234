"""The road of the study, drawn from Snakemake's own rule graph.

Reads: what lies on the road, for the shapes on the arrows
Makes: <results>/figures/fig2.pdf and .png (preprocessing), fig3.pdf and .png (experiment)
"""


rule plot_preprocessing:
    """Figure 2: the road from images to subsets, with the shapes of what is handed on."""
    input:
        artifacts=[
            expand("<results>/dataset/{file}", file=["train.npz", "test.npz", "classes.json"]),
            features_checkpoint(),
            "<results>/features/train.parquet",
            "<results>/umap/coordinates.parquet",
            "<results>/icd/kl_matrix.parquet",
            expand("<results>/subsets/{subset}.json", subset=SUBSETS),
        ],
    output:
        pdf="<results>/figures/fig2.pdf",
        png=report(
            "<results>/figures/fig2.png",
            caption="../report/fig2.rst",
            category="Figures",
            labels={"figure": "2", "shows": "the preprocessing road"},
        ),
    log:
        "<logs>/plot_preprocessing.log",
    benchmark:
        "<benchmarks>/plot_preprocessing.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=lambda wildcards: road_settings(
            "preprocessing", "from images to class subsets", [], None
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
        artifacts=artifacts(),
    output:
        pdf="<results>/figures/fig3.pdf",
        png=report(
            "<results>/figures/fig3.png",
            caption="../report/fig3.rst",
            category="Figures",
            labels={"figure": "3", "shows": "the experimental setup"},
        ),
    log:
        "<logs>/plot_experiment.log",
    benchmark:
        "<benchmarks>/plot_experiment.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=lambda wildcards: road_settings(
            "experiment",
            "from networks and subsets to verdicts",
            list(study_config.effective_variants(STUDY).items()),
            STUDY.get("sweep"),
        ),
        study=settings_text(
            source=STUDY["features"]["source"],
            figures=figures(),
        ),
        rules=RULES_DIGEST,
        code=code("plot_roads.py"),
    message:
        "Drawing figure 3"
    script:
        "../scripts/plot_roads.py"
