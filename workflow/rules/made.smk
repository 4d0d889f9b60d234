"""Which calibration images a study makes without data, and which images calibrate a variant.

Makes: the helpers that rules of synthesis, variants and all artifacts call.
"""


def made_images():
    """All images that are made, and how their losses fell."""
    pairs = study_config.made_images(STUDY, SUBSETS)
    return [
        f"<results>/synthetic/{network}/{classes}/{kind}.{suffix}"
        for network in NETWORKS
        for classes, kind in pairs
        for suffix in ("npz", "csv")
    ]


def made_for_variant(wildcards):
    """The images made for a variant's classes; none where training images calibrate it."""
    settings = VARIANTS[wildcards.variant]["compress"]
    if not study_config.calibrates_on_made(settings):
        return []
    classes = wildcards.subset if settings["classes"] == "subset" else settings["classes"]
    return f"<results>/synthetic/{wildcards.network}/{classes}/{settings['images_from']}.npz"


def asked_subset(wildcards):
    """The subset whose classes images are made of; none where they are of all, or of no class."""
    of_one = wildcards.classes not in ("all", "none")
    return f"<results>/subsets/{wildcards.classes}.json" if of_one else []


def synthesis_settings(network, classes, kind):
    """Settings of making images: of the config's, those that make a difference to them."""
    used = study_config.synthesis_effect(STUDY["synthesis"], classes, kind)
    return settings_text(network=network, asked=classes, kind=kind, synthesis=used, seed=SEED)


def shown_images():
    """What the figure shows: network and subset, and of each row its file, classes and kind."""
    chosen = {
        "network": next(iter(NETWORKS)),
        "subset": next(iter(SUBSETS)),
        **FIGURES["synthetic"],
    }
    rows = study_config.made_images(STUDY, [chosen["subset"]])
    place = f"<results>/synthetic/{chosen['network']}"
    return chosen, [f"{place}/{classes}/{kind}.npz" for classes, kind in rows], rows


EXAMPLE, EXAMPLE_FILES, EXAMPLE_ROWS = shown_images()
