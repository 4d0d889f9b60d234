"""The parts of a study, and helpers for the params and inputs of its rules.

Makes: NETWORKS, SUBSETS, VARIANTS (all that is made for every subset, repeats too), and of these
MADE, TRAINED and PACKED by what their steps leave, and DEEP.
"""

NETWORKS = STUDY["networks"]
# With those that only a study of its own asks for.
TRAINABLE = configured.networks(STUDY)
SUBSETS = study_config.subsets(STUDY, SURVEY.classes)
VARIANTS = study_config.made_variants(STUDY)
MADE = study_config.variants_with(STUDY, *steps.STEPS)
TRAINED = study_config.trained_variants(STUDY)
PACKED = study_config.packed_variants(STUDY)
DEEP = study_config.variants_with(STUDY, "deep")
THREADS = STUDY["threads"]
GPU = 0 if STUDY["device"] == "cpu" else 1


def network_code(script, network, *modules):
    """Digest of a script that runs a network: with the module of its architecture."""
    return code(script, *modules, *own_networks.modules(TRAINABLE[network]["architecture"]))


def compress_code(wildcards):
    """Digest for a compressed variant: the modules of its method, alphabet and network alone."""
    recipe = VARIANTS[wildcards.variant]
    named = [*methods.modules(recipe["compress"]), *study_config.modules_of(recipe)]
    return network_code("compress_network.py", wildcards.network, *named)


def loading_code(script, network, *variants):
    """Digest of a script that loads these variants of a network."""
    recipes = [VARIANTS[variant] for variant in variants]
    named = sorted({m for recipe in recipes for m in study_config.modules_of(recipe)})
    return network_code(script, network, *named)


def checkpoint(network, subset, variant):
    """Path of a variant's checkpoint; original is the same for every subset."""
    if variant == "original":
        return f"<results>/models/{network}/original.safetensors"
    return f"<results>/models/{network}/{subset}/{variant}.safetensors"


def qat_code(wildcards):
    """Digest for a variant trained quantized: its own method's module and no other's."""
    recipe = VARIANTS[wildcards.variant]
    method = qat_methods.METHODS[recipe["qat"]["method"]].module
    named = [method, *study_config.modules_of(recipe)]
    return network_code("train_quantized.py", wildcards.network, *named)


def deep_code(wildcards):
    """Digest for a deeply compressed variant: its own coder's module and no other's."""
    recipe = VARIANTS[wildcards.variant]
    named = [CODERS[recipe["deep"]["coder"]], *study_config.modules_of(recipe)]
    return network_code("deep_compress_network.py", wildcards.network, *named)


def variant_files(pattern, names):
    """The pattern's files for all networks and subsets and the variants of these names."""
    return expand(pattern, network=NETWORKS, subset=SUBSETS, variant=names)


def parent_checkpoint(wildcards):
    parent = VARIANTS[wildcards.variant]["parent"]
    return checkpoint(wildcards.network, wildcards.subset, parent)


def calibration_subset(wildcards):
    """The subset whose classes calibrate a variant: its own, or another one's."""
    classes = VARIANTS[wildcards.variant]["compress"]["classes"]
    subset = wildcards.subset if classes in ("subset", "all", "none") else classes
    return f"<results>/subsets/{subset}.json"


def features_checkpoint():
    """The study's network that features come from; none where they are the pixels, or another's."""
    source = STUDY["features"]["source"]
    return checkpoint(source, None, "original") if source in NETWORKS else []


def features_code():
    """Digest for features: with the architecture of a network of the study's, where one makes them."""
    source = STUDY["features"]["source"]
    script = "extract_features.py"
    return network_code(script, source) if source in NETWORKS else code(script)


def features_settings():
    """Threads matter where a network computes the features, not for pixels."""
    extractor = dict(STUDY["features"])
    if "weights" in extractor:
        extractor["weights"] = study_config.weights_identity(extractor["weights"])
    if extractor["source"] == "pixels":
        return settings_text(extractor=extractor)
    return settings_text(extractor=extractor, threads=THREADS)


def network_settings(network):
    """Settings of a network: only what its own entry says."""
    description = dict(TRAINABLE[network])
    training, weights = (description.pop(key, None) for key in ("training", "weights"))
    description["name"] = description.pop("architecture")
    if weights is not None:
        weights = study_config.weights_identity(weights)
    if training is not None:
        training = steps.training_effect(training)
    return settings_text(
        entry=network,
        network=description,
        weights=weights,
        training=training,
        seed=SEED,
        threads=THREADS,
    )


def training_processes(wildcards):
    """How many processes share a network's training; one where there is none."""
    return TRAINABLE[wildcards.network].get("training", {}).get("processes", 1)


def finetuning_processes(wildcards):
    """How many processes share a variant's training."""
    recipe = VARIANTS[wildcards.variant]
    return recipe[steps.of(recipe)]["processes"]


def target_series(wildcards):
    """The series that a subset is a member of; none for one that is found by itself."""
    definition = SUBSETS[wildcards.subset]
    alone = definition["kind"] != "target" or "count" not in definition
    return [] if alone else f"<results>/icd/targets_{definition['count']}.json"


def subset_settings(subset):
    """Settings of choosing a subset: its own definition alone."""
    return settings_text(name=subset, definition=SUBSETS[subset], seed=SEED)


def variant_settings(variant):
    """Settings of making a variant: its own recipe alone, and of it what makes a difference."""
    recipe = VARIANTS[variant]
    # Of each process of a training; Snakemake is told of the threads of all.
    threads = {"threads": 1} if steps.STEPS[steps.of(recipe)].trains else {}
    return settings_text(
        variant=recipe["variant"],
        recipe=study_config.effect(recipe),
        repeat=recipe["repeat"],
        seed=SEED,
        **threads,
    )


def all_checkpoints(wildcards):
    return [checkpoint(wildcards.network, wildcards.subset, variant) for variant in VARIANTS]


def variants_and_repeats(*names):
    """The variant and the repeat that ids stand for, as scripts take them."""
    return [[VARIANTS[name]["variant"], VARIANTS[name]["repeat"]] for name in names]


def sweep_code(section):
    """Digest for the sweep of a section: the modules of its variant's method, alphabet and network."""
    recipe = STUDY["variants"][STUDY[section]["variant"]]
    named = [*methods.modules(recipe["compress"]), *study_config.modules_of(recipe)]
    return lambda wildcards: network_code("sweep_calibration.py", wildcards.network, *named)


def sweep_settings(section, levels, crossed):
    """Settings of a section's sweep: its levels, and the recipe that its points depart from."""
    sweep = STUDY[section]
    variant = STUDY["variants"][sweep["variant"]]
    return lambda wildcards: settings_text(
        network=wildcards.network,
        recipe=study_config.effect(variant)["compress"],
        levels={key: sweep[key] for key in levels},
        crossed=crossed,
        repeats=sweep["repeats"],
        seed=SEED,
    )


wildcard_constraints:
    network=one_of(TRAINABLE),
    subset=one_of(SUBSETS),
    variant=one_of(VARIANTS),
