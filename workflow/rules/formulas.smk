"""What follows from the runs of partial training: formula, recommendation, verdicts, figures.

Reads: <results>/partial_qat/runs.csv, partial_qat/{network}/tensors.csv
Makes: <results>/partial_qat/formula.csv, prediction.csv, recommendation.csv, hypotheses.csv and
       .html; partial_qat/accuracy, size, bandwidth, position, pareto, each as .pdf and .png
"""


rule fit_formula:
    """Fit accuracy and bytes to what is quantized, foretell another network, recommend layers."""
    input:
        runs="<results>/partial_qat/runs.csv",
        tensors=expand("<results>/partial_qat/{network}/tensors.csv", network=PARTIAL_NETWORKS),
    output:
        formula=reported("<results>/partial_qat/formula.csv"),
        prediction=reported("<results>/partial_qat/prediction.csv"),
        recommendation=reported("<results>/partial_qat/recommendation.csv"),
    log:
        "<logs>/fit_formula.log",
    benchmark:
        "<benchmarks>/fit_formula.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_text(
            networks=PARTIAL_NETWORKS,
            budgets=PARTIAL["budgets"],
            confidence=FIGURES["confidence"],
            resamples=FIGURES["resamples"],
            seed=SEED,
        ),
        code=code("fit_formula.py"),
    message:
        "Fitting the formula of partial training"
    script:
        "../scripts/fit_formula.py"


rule judge_hypotheses:
    """Judge the hypotheses of partial training."""
    input:
        runs="<results>/partial_qat/runs.csv",
    output:
        hypotheses=reported("<results>/partial_qat/hypotheses.csv"),
        page=reported("<results>/partial_qat/hypotheses.html"),
    log:
        "<logs>/judge_hypotheses.log",
    benchmark:
        "<benchmarks>/judge_hypotheses.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=settings_text(study=STUDY["study"], confidence=FIGURES["confidence"]),
        code=code("judge_hypotheses.py"),
    message:
        "Judging the hypotheses of partial training"
    script:
        "../scripts/judge_hypotheses.py"


rule plot_partial:
    """Accuracy and bytes by number of quantized layers, single layers, and the front."""
    input:
        runs="<results>/partial_qat/runs.csv",
        formula="<results>/partial_qat/formula.csv",
    output:
        **{name: partial_figure(name) for name in PARTIAL_FIGURES},
    log:
        "<logs>/plot_partial.log",
    benchmark:
        "<benchmarks>/plot_partial.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=settings_text(study=STUDY["study"]),
        code=code("plot_partial.py"),
    message:
        "Drawing partial training"
    script:
        "../scripts/plot_partial.py"
