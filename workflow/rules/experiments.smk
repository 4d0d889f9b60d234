"""What calibration does: one variant at other settings, and how alike calibration sets are.

Reads: <results>/dataset/, subsets/{subset}.json, models/{network}/original.safetensors,
       accuracy.csv, tables/subsets.csv
Makes: <results>/sweep/{network}/{subset}.csv, sweep.csv (other bits and images);
       conditions/{network}/{subset}.csv, conditions.csv, tables/conditions.csv, figures/conditions
       (what moves answers into the subset); similarity/{network}.csv, tables/similarity.csv,
       tables/predictors.csv, figures/fig9 (Gram matrices of calibration sets)
"""

if "sweep" in STUDY:

    rule sweep_calibration:
        """Compress a network for a subset at every point of the sweep, and evaluate each."""
        input:
            train="<results>/dataset/train.npz",
            test="<results>/dataset/test.npz",
            classes="<results>/dataset/classes.json",
            subset="<results>/subsets/{subset}.json",
            parent="<results>/models/{network}/original.safetensors",
        output:
            sweep="<results>/sweep/{network}/{subset}.csv",
        log:
            "<logs>/sweep_calibration/{network}/{subset}.log",
        benchmark:
            "<benchmarks>/sweep_calibration/{network}/{subset}.tsv"
        conda:
            "../../envs/laq.yaml"
        resources:
            mem_mb=growing(8000 + STUDY["memory_mb"]),
            runtime=growing(240),
            gpu=GPU,
        params:
            settings=PLAN.sweep_settings("sweep", levels=["bits", "images"], crossed=False),
            code=code("sweep_calibration.py"),
        message:
            "Sweeping bits and calibration images of {wildcards.network} for {wildcards.subset}"
        script:
            "../scripts/sweep_calibration.py"

    rule collect_sweep:
        """Put the sweeps of all networks and subsets into one table."""
        input:
            tables=PLAN.sweeps(),
        output:
            table=reported("<results>/sweep.csv"),
        log:
            "<logs>/collect_sweep.log",
        benchmark:
            "<benchmarks>/collect_sweep.tsv"
        conda:
            "../../envs/laq.yaml"
        resources:
            mem_mb=growing(1000),
            runtime=growing(10),
        params:
            settings={},
            code=code("collect_tables.py"),
        message:
            "Collecting the sweep"
        script:
            "../scripts/collect_tables.py"


if "conditions" in STUDY:

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
        resources:
            mem_mb=growing(8000 + STUDY["memory_mb"]),
            runtime=growing(480),
            gpu=GPU,
        params:
            settings=PLAN.sweep_settings("conditions", levels=CROSSED, crossed=True),
            code=code("sweep_calibration.py"),
        message:
            "Combining settings of {wildcards.network} for {wildcards.subset}"
        script:
            "../scripts/sweep_calibration.py"

    rule collect_conditions:
        """Put the combinations of all networks and subsets into one table."""
        input:
            tables=PLAN.condition_tables(),
        output:
            table=reported("<results>/conditions.csv"),
        log:
            "<logs>/collect_conditions.log",
        benchmark:
            "<benchmarks>/collect_conditions.tsv"
        conda:
            "../../envs/laq.yaml"
        resources:
            mem_mb=growing(1000),
            runtime=growing(10),
        params:
            settings={},
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
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            settings=dict(
                base=PLAN.sweep_base("conditions", CROSSED),
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
            png=reported_figure(
                "<results>/figures/conditions.png",
                "conditions",
                "Figures",
                "what moves answers into the subset",
            ),
        log:
            "<logs>/plot_conditions.log",
        benchmark:
            "<benchmarks>/plot_conditions.tsv"
        conda:
            "../../envs/laq.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            settings=dict(
                title=f"{STUDY['study']}: what moves answers into the subset?",
                base=PLAN.sweep_base("conditions", CROSSED),
                confidence=FIGURES["confidence"],
            ),
            code=code("plot_conditions.py"),
        message:
            "Drawing what moves answers into the subset"
        script:
            "../scripts/plot_conditions.py"


if "similarity" in STUDY:

    # What predictors are ranked against, and whether that takes the sweep's control.
    RANKED = study_config.ranked_arms(STUDY)
    CONTROL = PLAN.sweep_table() if study_config.SWEPT in RANKED.values() else []

    # One job for all subsets of a network: a subset takes a fraction of the time that a job's start does.
    rule measure_similarity:
        """Measure how alike the label-aware and the label-agnostic calibration sets are."""
        input:
            train="<results>/dataset/train.npz",
            classes="<results>/dataset/classes.json",
            subsets=expand("<results>/subsets/{subset}.json", subset=SUBSETS),
            parent="<results>/models/{network}/original.safetensors",
        output:
            similarity="<results>/similarity/{network}.csv",
        log:
            "<logs>/measure_similarity/{network}.log",
        benchmark:
            "<benchmarks>/measure_similarity/{network}.tsv"
        conda:
            "../../envs/laq.yaml"
        resources:
            mem_mb=growing(8000),
            runtime=growing(120),
            gpu=GPU,
        params:
            settings=lambda wildcards: dict(
                network=wildcards.network, **STUDY["similarity"], seed=SEED
            ),
            code=code("measure_similarity.py"),
        message:
            "Measuring Gram similarity of calibration sets for {wildcards.network}"
        script:
            "../scripts/measure_similarity.py"

    rule collect_similarity:
        """Put the similarities of all networks into one table."""
        input:
            tables=expand("<results>/similarity/{network}.csv", network=NETWORKS),
        output:
            table=reported("<results>/tables/similarity.csv"),
        log:
            "<logs>/collect_similarity.log",
        benchmark:
            "<benchmarks>/collect_similarity.tsv"
        conda:
            "../../envs/laq.yaml"
        resources:
            mem_mb=growing(1000),
            runtime=growing(10),
        params:
            settings={},
            code=code("collect_tables.py"),
        message:
            "Collecting similarities"
        script:
            "../scripts/collect_tables.py"

    rule rank_predictors:
        """Rank the subsets by distance and similarity against what quantization costs on them."""
        input:
            accuracy="<results>/accuracy.csv",
            subsets="<results>/tables/subsets.csv",
            similarity="<results>/tables/similarity.csv",
            sweep=CONTROL,
        output:
            predictors=reported("<results>/tables/predictors.csv"),
        log:
            "<logs>/rank_predictors.log",
        benchmark:
            "<benchmarks>/rank_predictors.tsv"
        conda:
            "../../envs/laq.yaml"
        resources:
            mem_mb=growing(1000),
            runtime=growing(10),
        params:
            settings=dict(
                arms=RANKED,
                base=PLAN.sweep_base() if CONTROL else None,
                confidence=FIGURES["confidence"],
                seed=SEED,
            ),
            code=code("rank_predictors.py"),
        message:
            "Ranking predictors"
        script:
            "../scripts/rank_predictors.py"

    rule plot_predictors:
        """Figure 9: what quantization costs against Gram similarity, and against median ICD."""
        input:
            accuracy="<results>/accuracy.csv",
            subsets="<results>/tables/subsets.csv",
            similarity="<results>/tables/similarity.csv",
            predictors="<results>/tables/predictors.csv",
        output:
            pdf="<results>/figures/fig9.pdf",
            png=reported_figure(
                "<results>/figures/fig9.png",
                "fig9",
                "Figures",
                "what foretells the price of quantization",
            ),
        log:
            "<logs>/plot_predictors.log",
        benchmark:
            "<benchmarks>/plot_predictors.tsv"
        conda:
            "../../envs/laq.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            settings=dict(
                title=f"{STUDY['study']}: does similarity or distance foretell what quantization costs?",
                scale=PLAN.scale,
                confidence=FIGURES["confidence"],
            ),
            code=code("plot_predictors.py"),
        message:
            "Drawing figure 9"
        script:
            "../scripts/plot_predictors.py"
