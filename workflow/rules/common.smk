"""What all rules share: the checked config, its parts, and digests of code.

Makes: STUDY (the completed config), SUBSETS and VARIANTS, helpers for params. Everything
here runs at every parse, so nothing heavy is imported.
"""

import sys
from functools import cache
from pathlib import Path

import yaml

SCRIPTS = Path(str(workflow.current_basedir)).parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

from laq import config as study_config
from laq import datasets, errors, methods, provenance, schema
from laq.provenance import settings_text

SCHEMA = SCRIPTS.parent / "schemas" / "config.schema.yaml"


def checked_config():
    """The config with defaults, and class names; a WorkflowError that lists faults otherwise."""
    try:
        study = schema.complete(config, yaml.safe_load(SCHEMA.read_text()))
        class_names = datasets.class_names(study["dataset"])
        study_config.check(study, class_names)
    except errors.LaqError as error:
        raise WorkflowError(str(error)) from None
    return study, class_names


STUDY, CLASS_NAMES = checked_config()
config.update(STUDY)

SEED = STUDY["seed"]
THREADS = STUDY["threads"]
NETWORKS = STUDY["networks"]
VARIANTS = STUDY["variants"]
SUBSETS = study_config.subsets(STUDY, CLASS_NAMES)
GPU = 0 if STUDY["device"] == "cpu" else 1


# Within one parse the sources do not change, and every compressed variant of every subset asks.
@cache
def code(script, *modules):
    """Digest of a script, of what it imports, and of modules it imports by name."""
    return provenance.code_digest(SCRIPTS / script, *modules)


def one_of(names):
    """A wildcard constraint: exactly these names, or nothing at all."""
    return "|".join(names) or "(?!)"


def compress_code(wildcards):
    """Digest for a compressed variant: its own method's module and no other's."""
    method = VARIANTS[wildcards.variant]["compress"]["method"]
    return code("compress_network.py", methods.METHODS[method].module)


def checkpoint(network, subset, variant):
    """Path of a variant's checkpoint; original is the same for every subset."""
    if variant == "original":
        return f"<results>/models/{network}/original.safetensors"
    return f"<results>/models/{network}/{subset}/{variant}.safetensors"


def variant_files(pattern, steps):
    """The pattern's files for all networks and subsets and the variants made by ``steps``."""
    names = [name for step in steps for name in study_config.variants_with(STUDY, step)]
    return expand(pattern, network=NETWORKS, subset=SUBSETS, variant=names)


def parent_checkpoint(wildcards):
    parent = VARIANTS[wildcards.variant]["parent"]
    return checkpoint(wildcards.network, wildcards.subset, parent)


def calibration_subset(wildcards):
    """The subset whose classes calibrate a variant: its own, or another one's."""
    classes = VARIANTS[wildcards.variant]["compress"]["classes"]
    subset = wildcards.subset if classes in ("subset", "all") else classes
    return f"<results>/subsets/{subset}.json"


def features_checkpoint():
    """The network that features come from; none where they are the pixels."""
    source = STUDY["features"]["source"]
    return [] if source == "pixels" else checkpoint(source, None, "original")


def features_settings():
    """Threads matter where a network computes the features, not for pixels."""
    return (
        settings_text()
        if STUDY["features"]["source"] == "pixels"
        else settings_text(threads=THREADS)
    )


def network_settings(network):
    """Settings of training: only what the network's own entry says."""
    description = NETWORKS[network]
    architecture = {"name": description["architecture"], "widths": description["widths"]}
    return settings_text(
        network=architecture, training=description["training"], seed=SEED, threads=THREADS
    )


def subset_settings(subset):
    """Settings of choosing a subset: its own definition alone."""
    return settings_text(name=subset, definition=SUBSETS[subset], seed=SEED)


def variant_settings(variant):
    """Settings of making a variant: its own recipe alone, and of it what makes a difference."""
    return settings_text(variant=variant, recipe=study_config.effect(VARIANTS[variant]), seed=SEED)


def all_checkpoints(wildcards):
    return [checkpoint(wildcards.network, wildcards.subset, variant) for variant in VARIANTS]


wildcard_constraints:
    network=one_of(NETWORKS),
    subset=one_of(SUBSETS),
    variant=one_of(VARIANTS),
