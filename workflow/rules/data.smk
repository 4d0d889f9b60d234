"""Images.

Reads: nothing (glyphs, digits, mnist_like), the user's folder (image_folder), or the published
files, which it downloads where the config allows it (mnist, fashion_mnist, cifar10, cifar100).
Makes: <results>/dataset/{train,test}.npz, classes.json, origin.json
"""


rule make_dataset:
    """Draw or read the images of the study's data set."""
    output:
        train="<results>/dataset/train.npz",
        test="<results>/dataset/test.npz",
        classes="<results>/dataset/classes.json",
        origin="<results>/dataset/origin.json",
    log:
        "<logs>/make_dataset.log",
    benchmark:
        "<benchmarks>/make_dataset.tsv"
    conda:
        "../../envs/laq.yaml"
    threads: 2
    resources:
        mem_mb=growing(4000 + 2 * SURVEY.megabytes),
        runtime=growing(120),
    params:
        settings=dict(dataset=sources.identity(STUDY["dataset"]), seed=SEED),
        files=SURVEY.fingerprint,
        code=code("make_dataset.py"),
    message:
        f"Making the data set: {STUDY['dataset']['kind']}"
    script:
        "../scripts/make_dataset.py"
