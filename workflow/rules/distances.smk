"""Distances between classes: features, UMAP coordinates, class × class KL matrix.

Reads: <results>/dataset/, the network that features come from
Makes: <results>/features/train.parquet, umap/coordinates.parquet, icd/kl_matrix.parquet
"""


rule extract_features:
    """Extract one feature vector for each training image."""
    input:
        train="<results>/dataset/train.npz",
        classes="<results>/dataset/classes.json",
        checkpoint=features_checkpoint(),
        published=study_config.unverified_file(STUDY["features"]),
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
        settings=features_settings(),
        code=features_code(),
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
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        settings=settings_text(umap=STUDY["umap"], seed=SEED),
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
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        settings=settings_text(**STUDY["icd"]),
        code=code("measure_distances.py"),
    message:
        "Measuring distances between classes"
    script:
        "../scripts/measure_distances.py"
