"""Distances between classes, and class subsets by median inter-class distance (ICD).

Reads: <results>/dataset/, the network that features come from
Makes: <results>/features/train.parquet, umap/coordinates.parquet, icd/kl_matrix.parquet,
       icd/targets_{number}.json, subsets/{subset}.json, tables/subsets.csv
"""


rule extract_features:
    """Extract one feature vector for each training image."""
    input:
        train="<results>/dataset/train.npz",
        classes="<results>/dataset/classes.json",
        checkpoint=PLAN.features_checkpoint(),
        published=unverified_file(STUDY["features"]),
    output:
        features="<results>/features/train.parquet",
    log:
        "<logs>/extract_features.log",
    benchmark:
        "<benchmarks>/extract_features.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: THREADS
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
        gpu=GPU,
    params:
        settings=PLAN.features_settings(),
        code=code("extract_features.py"),
    message:
        f"Extracting features of the training images from {STUDY['features']['source']}"
    script:
        "../scripts/extract_features.py"


rule embed_features:
    """Map the features to the plane with UMAP."""
    input:
        features="<results>/features/train.parquet",
    output:
        coordinates="<results>/umap/coordinates.parquet",
    log:
        "<logs>/embed_features.log",
    benchmark:
        "<benchmarks>/embed_features.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        settings=dict(umap=STUDY["umap"], seed=SEED),
        code=code("embed_features.py"),
    message:
        "Mapping the features to the plane (UMAP)"
    script:
        "../scripts/embed_features.py"


rule measure_distances:
    """Measure the symmetrised KL divergence of every pair of classes."""
    input:
        coordinates="<results>/umap/coordinates.parquet",
        train="<results>/dataset/train.npz",
        classes="<results>/dataset/classes.json",
    output:
        matrix="<results>/icd/kl_matrix.parquet",
    log:
        "<logs>/measure_distances.log",
    benchmark:
        "<benchmarks>/measure_distances.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=dict(**STUDY["icd"]),
        code=code("measure_distances.py"),
    message:
        "Measuring distances between classes"
    script:
        "../scripts/measure_distances.py"


rule spread_targets:
    """Find the subsets of a series of targets, all at once: each depends on those before it."""
    input:
        matrix="<results>/icd/kl_matrix.parquet",
    output:
        series="<results>/icd/targets_{number}.json",
    log:
        "<logs>/spread_targets/{number}.log",
    benchmark:
        "<benchmarks>/spread_targets/{number}.tsv"
    wildcard_constraints:
        number=r"\d+",
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=lambda wildcards: dict(
            definition={
                "size": STUDY["subsets"]["size"],
                "scale": STUDY["subsets"]["scale"],
                "count": int(wildcards.number),
            },
            seed=SEED,
        ),
        code=code("spread_targets.py"),
    message:
        "Spreading {wildcards.number} targets of median ICD"
    script:
        "../scripts/spread_targets.py"


rule select_subset:
    """Choose the classes of one subset."""
    input:
        matrix="<results>/icd/kl_matrix.parquet",
        series=PLAN.target_series,
    output:
        subset="<results>/subsets/{subset}.json",
    log:
        "<logs>/select_subset/{subset}.log",
    benchmark:
        "<benchmarks>/select_subset/{subset}.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=lambda wildcards: dict(
            name=wildcards.subset, definition=SUBSETS[wildcards.subset], seed=SEED
        ),
        code=code("select_subset.py"),
    message:
        "Choosing the classes of subset {wildcards.subset}"
    script:
        "../scripts/select_subset.py"


rule list_subsets:
    """List all subsets by median ICD, and say which hold the same classes."""
    input:
        subsets=expand("<results>/subsets/{subset}.json", subset=SUBSETS),
    output:
        table=reported("<results>/tables/subsets.csv"),
    log:
        "<logs>/list_subsets.log",
    benchmark:
        "<benchmarks>/list_subsets.tsv"
    conda:
        "../../envs/laq.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=dict(published=study_config.published_medians(STUDY)),
        code=code("list_subsets.py"),
    message:
        "Listing the subsets"
    script:
        "../scripts/list_subsets.py"
