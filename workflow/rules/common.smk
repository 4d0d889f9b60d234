"""What all rules share: the checked config, what it plans, and digests of code.

Makes: STUDY (the completed config), PLAN (files and settings of its jobs), SURVEY (of a study's
images), SEED, NAME (the study's, for messages), helpers for params. Everything here runs at every
parse, so nothing heavy is imported.
"""

import sys
from functools import cache
from pathlib import Path

SCRIPTS = Path(str(workflow.current_basedir)).parent / "scripts"
LIBRARY = SCRIPTS.parents[1] / "src"
sys.path.insert(0, str(LIBRARY))

import laq

if Path(laq.__file__ or "").resolve().parent != (LIBRARY / "laq").resolve():
    raise WorkflowError(
        f"laq was imported from {laq.__file__} before this workflow, whose own library is "
        f"{LIBRARY / 'laq'}: import it after the workflow in the Snakefile that does so, keep to "
        "one clone of the workflow in a run, or uninstall that copy (pip uninstall laq)"
    )

from laq.config import plan
from laq.config import study as study_config
from laq.config.load import checked as checked_config_of
from laq.config.networks import unverified_file
from laq.data import sources
from laq.utils import disks, errors, provenance
from laq.utils import signals as advice


def checked_config():
    """The config with defaults, and a survey of its images; a WorkflowError that lists faults."""
    named = workflow.config_settings.config
    try:
        schemas, files = SCRIPTS.parent / "schemas", workflow.configfiles
        completed, said, survey = checked_config_of(config, schemas, named, files)
        for line in said:
            logger.warning(line)
    except errors.LaqError as error:
        raise WorkflowError(str(error)) from None
    return completed, survey


def try_disks(check, *arguments):
    """A WorkflowError where files cannot be made that a run needs."""
    try:
        check(*arguments)
    except errors.StorageError as error:
        raise WorkflowError(str(error)) from None


try_disks(disks.check_project)

if not config:
    raise WorkflowError(
        "no config has come here: where this workflow is a module of another Snakefile, write "
        "config: config (or the part of it that is the study's) in the module"
    )

STUDY, SURVEY = checked_config()
config.update(STUDY)

SEED = STUDY["seed"]
# Not {config[study]}: in a message that is the config of the Snakefile that has this for a module.
NAME = STUDY["study"].replace("{", "{{").replace("}", "}}")
FIGURES = STUDY["figures"]

# Of the rules themselves: the figures of the road are drawn anew when any of them changes.
RULES_DIGEST = provenance.text_digest(
    [SCRIPTS.parents[1] / "Snakefile", *(SCRIPTS.parent / "rules").glob("*.smk")]
)


# Within one parse the sources do not change, and every compressed variant of every subset asks.
@cache
def code(script):
    """Digest of a script and of all it imports."""
    return provenance.code_digest(SCRIPTS / script, LIBRARY)


def growing(amount):
    """Memory or time of a job: ``amount``, and as much again with every retry.

    A cluster kills a job that takes more than it asked for. ``amount`` may be a function of wildcards.
    """

    def resource(wildcards, attempt):
        return attempt * (amount(wildcards) if callable(amount) else amount)

    return resource


def one_of(names):
    """A wildcard constraint: exactly these names, or nothing at all."""
    return "|".join(names) or "(?!)"


if STUDY["kind"] == "replay":
    PLAN = plan.Replay(STUDY)
else:
    PLAN = plan.Study(STUDY, SURVEY)
    NETWORKS, SUBSETS, VARIANTS = PLAN.networks, PLAN.subsets, PLAN.variants
    THREADS, GPU = STUDY["threads"], 0 if STUDY["device"] == "cpu" else 1

    wildcard_constraints:
        network=one_of(PLAN.trainable),
        subset=one_of(SUBSETS),
        variant=one_of(VARIANTS),


# What the report shows beside figures, by name and in its order: category, and what is seen.
TABLES = {
    "claims": ("Verdicts", "every conclusion and its verdict"),
    "sensitivity": ("Verdicts", "verdicts by seed and by ICD"),
    "subsets": ("Tables", "the subsets by median ICD"),
    "accuracy": ("Tables", "top-1 of every variant on every subset"),
    "curves": ("Tables", "the fitted curves"),
    "differences": ("Tables", "variants compared over the subsets"),
    "memory": ("Tables", "bytes on disk"),
    "sweep": ("Tables", "accuracy by bits and calibration images"),
    "conditions": ("Tables", "what moves answers into the subset"),
    "similarity": ("Tables", "how alike calibration sets are"),
    "predictors": ("Tables", "what foretells the price of quantization"),
    "replication": ("Tables", "published gains beside the study's own"),
    "correlations": ("Tables", "rank correlations with the published study"),
    "deploy": ("Tables", "which variant to deploy"),
    "onnx": ("Tables", "ONNX files in ONNX Runtime"),
    "zoo": ("Zoo", "every method on every subset"),
    "methods": ("Zoo", "methods compared: accuracy, bytes, gain"),
    "hypotheses": ("Partial training", "hypotheses and their verdicts"),
    "formula": ("Partial training", "formulas of accuracy and bytes"),
    "prediction": ("Partial training", "formulas on networks they were not fitted to"),
    "recommendation": ("Partial training", "which layers to quantize"),
    "runs": ("Partial training", "every arm of partial training"),
    "logs": ("Tables", "the published logs"),
    "provenance": ("Study", "sources, config, seeds, versions, machine"),
}


def reported(file):
    """A table, or its page, as an output that the report shows under the table's name."""
    name, suffix = Path(file).stem, Path(file).suffix
    category, shows = TABLES[name]
    kind = {".csv": "CSV", ".md": "Markdown", ".html": "page", ".json": "JSON"}[suffix]
    labels = {"table": name, "shows": shows, "file": kind}
    return report(file, caption=f"../report/{name}.rst", category=category, labels=labels)


def reported_figure(file, caption, category, shows):
    """A figure as an output that the report shows, with the caption of that name."""
    labels = {"figure": Path(file).stem.removeprefix("fig"), "shows": shows}
    return report(file, caption=f"../report/{caption}.rst", category=category, labels=labels)


def road_settings(left_out, part, title, variants, sweep):
    """Settings of a diagram of the road without some rules: its part, words and stage of each rule."""
    # By the names they have here: where this is a module of another Snakefile, workflow.rules has
    # that one's too, and calls these as it likes.
    steps = {name: proxy.rule for name, proxy in rules._rules.items() if name not in left_out}
    return dict(
        part=part,
        title=f"{STUDY['study']}: {title}",
        words={name: " ".join((rule.docstring or "").split()) for name, rule in steps.items()},
        stages=[[name, Path(str(rule.snakefile)).stem] for name, rule in steps.items()],
        left_out=left_out,
        variants=variants,
        sweep=sweep,
    )


onstart:
    try_disks(disks.check_study, STUDY["root"])


onerror:
    for line in advice.after(log):
        logger.error(line)
