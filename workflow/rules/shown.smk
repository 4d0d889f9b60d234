"""What tables, figures and claims ask of a study: its artifacts, settings and arms.

Makes: the helpers that rules of tables and figures call; replay.smk has those of a replay.
"""

AXIS = STUDY["subsets"]["scale"]
PUBLISHED = [str(files.expanded(FIGURES["published"]))] if "published" in FIGURES else []

# Rules that tell of the study or take something out of it, and are no step of it.
NO_STEPS = ["all", "plot_preprocessing", "plot_experiment", "record_provenance", "write_pages"]
NO_STEPS += ["export_onnx", "evaluate_onnx", "collect_onnx", "choose_variants"]
NO_STEPS += ["zoo", "measure_zoo", "collect_zoo", "plot_zoo"]
NO_STEPS += ["deep_compression", "measure_stages", "measure_curve", "collect_deep_curves"]
NO_STEPS += ["compare_initial", "plot_deep"]
NO_STEPS += ["measure_label_aware", "judge_ratio_gained", "plot_label_aware"]


def foreign_files():
    """Published logs, and another study's matrix: each once."""
    logs = [*study_config.log_files(STUDY), *study_config.replicated_logs(STUDY).values()]
    return list(dict.fromkeys([*PUBLISHED, *logs, *study_config.given_matrix(STUDY)]))


def sweep_table():
    return ["<results>/sweep.csv"] if "sweep" in STUDY else []


def sweeps():
    """The sweep's tables of single subsets."""
    if "sweep" not in STUDY:
        return []
    return expand("<results>/sweep/{network}/{subset}.csv", network=NETWORKS, subset=SUBSETS)


def condition_tables():
    """The conditions' tables of single subsets."""
    if "conditions" not in STUDY:
        return []
    subsets = STUDY["conditions"]["subsets"] or SUBSETS
    return expand("<results>/conditions/{network}/{subset}.csv", network=NETWORKS, subset=subsets)


def condition_verdicts():
    return ["<results>/tables/conditions.csv"] if "conditions" in STUDY else []


def similarities():
    """The similarities of single networks, and the table of all."""
    if "similarity" not in STUDY:
        return []
    of_networks = expand("<results>/similarity/{network}.csv", network=NETWORKS)
    return [*of_networks, "<results>/tables/similarity.csv"]


def similarity_tables():
    """The table of all similarities, and what they foretell."""
    return [*similarities()[-1:], "<results>/tables/predictors.csv"] if similarities() else []


def replication_tables():
    if "replication" not in STUDY:
        return []
    return expand("<results>/tables/{table}.csv", table=["replication", "correlations"])


def memory_table():
    return ["<results>/tables/memory.csv"]


def logs_table():
    return []


def pretrained_networks():
    """Networks that begin with the weights of others."""
    return [network for network, entry in NETWORKS.items() if "weights" in entry]


def outside():
    """What tells of files from outside the study: inputs of its provenance."""
    published = STUDY["features"]["source"] == "pretrained"
    return {
        "dataset": "<results>/dataset/origin.json",
        "checkpoints": [checkpoint(network, None, "original") for network in pretrained_networks()],
        "features": "<results>/features/train.parquet" if published else [],
        "logs": foreign_files(),
    }


def shown_settings():
    """Settings whose panels figures show; all networks."""
    return []


def shown_variants():
    """Variants of figure 5."""
    return FIGURES["accuracy"] or list(STUDY["variants"])


def mixed_arms():
    """Arms of figure 6: setting (each network's own), variant, and label (the variant's)."""
    return [[None, variant, None] for variant in FIGURES["mixed"]]


def claim_arms():
    """Which arm stands for each part in the claims; the setting is each network in turn."""
    roles = ["original", "quant", "ft", "ft_quant", "mp53", "mp35", "agnostic", "bits32"]
    arms = {role: STUDY["claims"].get(role, role) for role in roles}
    return {role: [None, name] for role, name in arms.items() if name in STUDY["variants"]}


def claim_bits():
    """Bits a weight of the arms in the claims, where they are one number."""
    settings = {
        role: STUDY["variants"][name].get("compress", {})
        for role, (_, name) in claim_arms().items()
    }
    return {role: s["bits"] for role, s in settings.items() if isinstance(s.get("bits"), int)}


def sweep_base(section="sweep", keys=("bits", "images")):
    """The settings of the variant that a sweep departs from; layers are all of them."""
    if section not in STUDY:
        return None
    settings = STUDY["variants"][STUDY[section]["variant"]]["compress"]
    return {key: settings.get(key, "all") for key in keys}


def weights_example():
    """The layer of figure 4: network, subset and variant, and its name or None."""
    compressed = study_config.variants_with(STUDY, "compress")
    defaults = {
        "network": next(iter(NETWORKS)),
        "subset": next(iter(SUBSETS)),
        "variant": compressed[0] if compressed else None,
        "layer": None,
    }
    return {**defaults, **FIGURES["weights"]}


def example_checkpoints():
    """The compressed network of figure 4 and what it was made of; none where none is compressed."""
    variant = weights_example()["variant"]
    if variant is None:
        return {"checkpoint": [], "parent": []}
    place = weights_example()["network"], weights_example()["subset"]
    return {
        "checkpoint": checkpoint(*place, variant),
        "parent": checkpoint(*place, VARIANTS[variant]["parent"]),
    }


def example_dataset(path):
    """Where BatchNorm is folded into the weights, tracing the parent takes an image."""
    variant = weights_example()["variant"]
    folded = variant is not None and VARIANTS[variant]["compress"]["fold_batchnorm"]
    return path if folded else []


def road_settings(part, title, variants, sweep):
    """Settings of a diagram: its part, the words and the stage of every rule, the recipes in order."""
    # By the names they have here: where this is a module of another Snakefile, workflow.rules has
    # that one's too, and calls these as it likes.
    steps = {name: proxy.rule for name, proxy in rules._rules.items() if name not in NO_STEPS}
    return settings_text(
        part=part,
        title=f"{STUDY['study']}: {title}",
        words={name: " ".join((rule.docstring or "").split()) for name, rule in steps.items()},
        stages=[[name, Path(str(rule.snakefile)).stem] for name, rule in steps.items()],
        left_out=NO_STEPS,
        variants=variants,
        sweep=sweep,
    )


def artifacts():
    """All files of a study but the tables and figures that a replay has as well."""
    return [
        expand(
            "<results>/dataset/{file}",
            file=["train.npz", "test.npz", "classes.json", "origin.json"],
        ),
        "<results>/features/train.parquet",
        "<results>/umap/coordinates.parquet",
        "<results>/icd/kl_matrix.parquet",
        expand("<results>/subsets/{subset}.json", subset=SUBSETS),
        expand(
            "<results>/models/{network}/{file}",
            network=NETWORKS,
            file=["original.safetensors", "training.csv"],
        ),
        variant_files("<results>/models/{network}/{subset}/{variant}.safetensors", MADE),
        variant_files("<results>/models/{network}/{subset}/{variant}.csv", TRAINED),
        variant_files("<results>/layers/{network}/{subset}/{variant}.csv", PACKED),
        variant_files("<results>/deep/{network}/{subset}/{variant}/stages.csv", DEEP),
        variant_files("<results>/deep/{network}/{subset}/{variant}/rounds.csv", DEEP),
        expand("<results>/accuracy/{network}/{subset}.csv", network=NETWORKS, subset=SUBSETS),
        "<results>/accuracy.csv",
        made_images(),
        sweeps(),
        sweep_table(),
        condition_tables(),
        condition_verdicts(),
        similarities(),
        expand("<results>/tables/{table}.csv", table=["subsets", "memory"]),
    ]


def figures():
    """The figures that this study has something to show in."""
    compressed = study_config.variants_with(STUDY, "compress")
    return [
        "fig1",
        "fig2",
        "fig3",
        *(["fig4"] if compressed else []),
        "fig5",
        *(["fig6"] if FIGURES["mixed"] else []),
        "fig7",
        *(["fig8"] if "sweep" in STUDY else []),
        *(["fig9"] if similarities() else []),
        *(["conditions"] if "conditions" in STUDY else []),
        *(["synthetic"] if made_images() else []),
        *(["replication"] if replication_tables() else []),
    ]
