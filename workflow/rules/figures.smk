"""Figures, each as PDF and PNG, and the tables behind them.

Reads: <results>/accuracy.csv, tables/subsets.csv
Makes: <results>/figures/fig5.pdf and .png, tables/curves.csv
"""


rule plot_accuracy:
    """Figure 5: accuracy against median ICD, with fitted curves and bootstrap bands."""
    input:
        accuracy="<results>/accuracy.csv",
        subsets="<results>/tables/subsets.csv",
    output:
        pdf="<results>/figures/fig5.pdf",
        png="<results>/figures/fig5.png",
        curves="<results>/tables/curves.csv",
    log:
        "<logs>/plot_accuracy.log",
    benchmark:
        "<benchmarks>/plot_accuracy.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=settings_text(
            study=STUDY["study"],
            scale=STUDY["subsets"]["scale"],
            figures=STUDY["figures"],
            seed=SEED,
        ),
        code=code("plot_accuracy.py"),
    message:
        "Drawing figure 5"
    script:
        "../scripts/plot_accuracy.py"
