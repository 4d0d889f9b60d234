"""Label-aware quantization: does calibrating on the deployed classes help, and when?

The road, one file of rules a stage; config/README.md explains the config, results/README.md
the artifacts.
"""

from snakemake.utils import min_version

min_version("9.27")

# A study's config is whole: one given by --configfile replaces the default study.
if not workflow.configfiles:

    configfile: f"{workflow.current_basedir}/config/config.yaml"


include: "workflow/rules/common.smk"


pathvars:
    results=config["root"],
    logs=f"{config['root']}/logs",
    benchmarks=f"{config['root']}/benchmarks",


include: "workflow/rules/dataset.smk"  #   images
include: "workflow/rules/networks.smk"  #  trained networks
include: "workflow/rules/distances.smk"  # features, UMAP, class × class KL matrix
include: "workflow/rules/subsets.smk"  #   class subsets by median inter-class distance
include: "workflow/rules/variants.smk"  #  fine-tuned and quantized networks
include: "workflow/rules/accuracy.smk"  #  top-1 over all classes and over the subset
include: "workflow/rules/figures.smk"  #   figures and their tables


# Every artifact, so that one that was deleted is made again, and what follows from it.
rule all:
    default_target: True
    input:
        expand("<results>/dataset/{file}", file=["train.npz", "test.npz", "classes.json"]),
        "<results>/features/train.parquet",
        "<results>/umap/coordinates.parquet",
        "<results>/icd/kl_matrix.parquet",
        expand("<results>/subsets/{subset}.json", subset=SUBSETS),
        expand(
            "<results>/models/{network}/{file}",
            network=NETWORKS,
            file=["original.safetensors", "training.csv"],
        ),
        variant_files(
            "<results>/models/{network}/{subset}/{variant}.safetensors", ["finetune", "compress"]
        ),
        variant_files("<results>/models/{network}/{subset}/{variant}.csv", ["finetune"]),
        variant_files("<results>/layers/{network}/{subset}/{variant}.csv", ["compress"]),
        expand("<results>/accuracy/{network}/{subset}.csv", network=NETWORKS, subset=SUBSETS),
        "<results>/accuracy.csv",
        expand("<results>/tables/{table}.csv", table=["subsets", "curves", "memory"]),
        expand("<results>/figures/fig5.{suffix}", suffix=["pdf", "png"]),
    message:
        f"{config['study']}: all artifacts are in {config['root']}"
