"""Label-aware quantization: does calibrating on the deployed classes help, and when?

The road, one file of rules a stage; config/README.md explains the config, results/README.md
the artifacts.
"""

from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")

# From elsewhere Snakemake fetches rules and scripts one by one, and not the library they import.
if not Path(str(workflow.current_basedir)).is_dir():
    raise WorkflowError(
        f"this workflow runs from a clone on this machine, not from {workflow.current_basedir}: "
        'git clone its repository, and write snakefile: "path/to/clone/Snakefile" in the module'
    )

# A study's config is whole: one given by --configfile replaces the default study.
if not workflow.configfiles:

    configfile: f"{workflow.current_basedir}/config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


pathvars:
    results=config["root"],
    logs=f"{config['root']}/logs",
    benchmarks=f"{config['root']}/benchmarks",


if STUDY["kind"] == "replay":

    include: "workflow/rules/replay.smk"  #    the replay's parts
    include: "workflow/rules/published.smk"  # published logs instead of a study's own results

else:

    include: "workflow/rules/study.smk"  #     the study's parts
    include: "workflow/rules/shown.smk"  #     what tables and figures ask of them
    include: "workflow/rules/made.smk"  #      images made without data
    include: "workflow/rules/exports.smk"  #   what goes out of the study
    include: "workflow/rules/dataset.smk"  #   images
    include: "workflow/rules/networks.smk"  #  trained networks
    include: "workflow/rules/distances.smk"  # features, UMAP, class × class KL matrix
    include: "workflow/rules/subsets.smk"  #   class subsets by median inter-class distance
    include: "workflow/rules/synthesis.smk"  # calibration images made without data
    include: "workflow/rules/variants.smk"  #  fine-tuned and quantized networks
    include: "workflow/rules/accuracy.smk"  #  top-1 over all classes and over the subset
    include: "workflow/rules/figures.smk"  #   classes, weights, memory
    include: "workflow/rules/diagrams.smk"  #  the road itself

    if DEEP:

        include: "workflow/rules/deep.smk"  # pruned, shared and entropy-coded networks

    if "sweep" in STUDY:

        include: "workflow/rules/sweep.smk"  # other bits, other calibration images

    if "conditions" in STUDY:

        include: "workflow/rules/conditions.smk"  # what moves answers into the subset

    if "similarity" in STUDY:

        include: "workflow/rules/similarity.smk"  # Gram matrices of calibration sets

    if "replication" in STUDY:

        include: "workflow/rules/replication.smk"  # published gains beside the study's own

    if "deploy" in STUDY:

        include: "workflow/rules/deploy.smk"  # ONNX files, and which variant to deploy

    if "zoo" in STUDY:

        include: "workflow/rules/entries.smk"  # the zoo's entries
        include: "workflow/rules/zoo.smk"  #     quantizers side by side: target zoo

    if "deep_compression" in STUDY:

        include: "workflow/rules/deep_plan.smk"  # what the study of Deep Compression is of
        include: "workflow/rules/deep_study.smk"  # Deep Compression in numbers: target deep_compression
        include: "workflow/rules/deep_curves.smk"  # accuracy against ratio, beside its parts and low rank
        include: "workflow/rules/deep_label_aware.smk"  # for a subset's classes, at equal accuracy
        include: "workflow/rules/deep_figures.smk"  # of these

    if "partial_qat" in STUDY:

        include: "workflow/rules/arms.smk"  #    arms of partial training
        include: "workflow/rules/partial_qat.smk"  # layers quantized in training: target partial_qat
        include: "workflow/rules/formulas.smk"  #    what follows from them


include: "workflow/rules/curves.smk"  # accuracy against median ICD, differences
include: "workflow/rules/claims.smk"  # verdicts
include: "workflow/rules/report.smk"  # what the report says of the study itself


# Every artifact, so that one that was deleted is made again, and what follows from it.
rule all:
    default_target: True
    input:
        artifacts(),
        exports(),
        expand("<results>/tables/{table}.csv", table=["curves", "differences"]),
        expand("<results>/tables/{file}", file=["claims.csv", "claims.md", "sensitivity.csv"]),
        similarity_tables(),
        replication_tables(),
        "<results>/provenance.json",
        PAGES,
        expand("<results>/figures/{figure}.{suffix}", figure=figures(), suffix=["pdf", "png"]),
    message:
        f"{NAME}: all artifacts are in {STUDY['root']}"
