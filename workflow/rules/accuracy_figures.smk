"""Figures of accuracy against median ICD.

Reads: <results>/accuracy.csv, tables/subsets.csv; sweep.csv where there is one
Makes: <results>/figures/fig5, and where the config asks for them fig6 and fig8, each .pdf and .png
"""


rule plot_accuracy:
    """Figure 5: accuracy against median ICD, with fitted curves and bootstrap bands."""
    input:
        accuracy="<results>/accuracy.csv",
        subsets="<results>/tables/subsets.csv",
        published=PLAN.published,
    output:
        pdf="<results>/figures/fig5.pdf",
        png=reported_figure(
            "<results>/figures/fig5.png", "fig5", "Figures", "accuracy against median ICD"
        ),
    log:
        "<logs>/plot_accuracy.log",
    benchmark:
        "<benchmarks>/plot_accuracy.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=dict(
            title=f"{STUDY['study']}: accuracy against median inter-class distance",
            scale=PLAN.scale,
            arms=[[None, variant, None] for variant in PLAN.shown_variants()],
            settings=PLAN.shown_settings(),
            scopes=["all", "subset"],
            crossed=PLAN.claim_arms().get("quant", [None, None])[1],
            confidence=FIGURES["confidence"],
            resamples=FIGURES["resamples"],
            seed=SEED,
        ),
        code=code("plot_accuracy.py"),
    message:
        "Drawing figure 5"
    script:
        "../scripts/plot_accuracy.py"


if FIGURES["mixed"]:

    rule plot_mixed:
        """Figure 6: the same over all classes, for mixed precision."""
        input:
            accuracy="<results>/accuracy.csv",
            subsets="<results>/tables/subsets.csv",
            published=[],
        output:
            pdf="<results>/figures/fig6.pdf",
            png=reported_figure("<results>/figures/fig6.png", "fig6", "Figures", "mixed precision"),
        log:
            "<logs>/plot_mixed.log",
        benchmark:
            "<benchmarks>/plot_mixed.tsv"
        conda:
            "../../envs/laq.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            settings=dict(
                title=f"{STUDY['study']}: mixed precision over all classes",
                scale=PLAN.scale,
                arms=PLAN.mixed_arms(),
                settings=PLAN.shown_settings(),
                scopes=["all"],
                crossed=None,
                confidence=FIGURES["confidence"],
                resamples=FIGURES["resamples"],
                seed=SEED,
            ),
            code=code("plot_accuracy.py"),
        message:
            "Drawing figure 6"
        script:
            "../scripts/plot_accuracy.py"


if PLAN.sweep_table():

    rule plot_effect:
        """Figure 8: gain against calibration images and bits, and predictions inside the subset."""
        input:
            accuracy="<results>/accuracy.csv",
            subsets="<results>/tables/subsets.csv",
            sweep="<results>/sweep.csv",
        output:
            pdf="<results>/figures/fig8.pdf",
            png=reported_figure(
                "<results>/figures/fig8.png",
                "fig8",
                "Figures",
                "what label-aware quantization does",
            ),
        log:
            "<logs>/plot_effect.log",
        benchmark:
            "<benchmarks>/plot_effect.tsv"
        conda:
            "../../envs/laq.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            settings=dict(
                title=f"{STUDY['study']}: what label-aware quantization does",
                base=PLAN.sweep_base(),
                swept=PLAN.swept_subsets(),
                confidence=FIGURES["confidence"],
                resamples=FIGURES["resamples"],
                seed=SEED,
            ),
            code=code("plot_effect.py"),
        message:
            "Drawing figure 8"
        script:
            "../scripts/plot_effect.py"
