"""What a study makes, and what its jobs take: files and settings, from the completed config.

The rules call these methods. Files are patterns below ``<results>``, as Snakemake's pathvars have
them. Everything here is pure and light, since it runs each time the workflow is parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from laq.config import networks as configured
from laq.config import recipes, replay, study
from laq.utils.files import expanded

if TYPE_CHECKING:
    from laq.data import Survey

Config = Mapping[str, Any]
Settings = dict[str, Any]
# A wildcards object of Snakemake: attributes of text.
Wildcards = Any

DATASET = ("train.npz", "test.npz", "classes.json", "origin.json")


def files(pattern: str, **values: Iterable[str]) -> list[str]:
    """``pattern`` with every combination of values of its names; each name is in braces."""
    combinations = product(*values.values())
    return [pattern.format(**dict(zip(values, choice, strict=True))) for choice in combinations]


class Plan:
    """What rules of tables, figures and verdicts need of a study and of a replay.

    Attributes: scale: of the axis of median ICD. published: the log drawn over figure 5, or none.
    """

    scale: str
    published: list[str]

    def __init__(self, config: Config) -> None:
        self.config = config
        self.figured = config["figures"]

    def agnostic_controls(self) -> dict[str, str]:
        return {}

    def sweep_table(self) -> list[str]:
        return []

    def memory_table(self) -> list[str]:
        return []

    def logs_table(self) -> list[str]:
        return []

    def further_tables(self) -> list[str]:
        """Tables that only some studies have, in the report's order."""
        return []

    def pretrained_networks(self) -> list[str]:
        """Networks that begin with the weights of others."""
        return []

    def exports(self) -> list[str]:
        """Files for use outside the study. Tables about them are among ``further_tables``."""
        return []

    def claim_bits(self) -> dict[str, int]:
        """Bits per weight of the arms in the claims, where they are one number."""
        return {}

    def sweep_base(self) -> Settings | None:
        """The settings of the variant that the sweep starts from."""
        return None


class Replay(Plan):
    """A replay of published logs. logs: the path of each setting's log."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.scale, self.published = config["scale"], []
        self.logs = {name: str(expanded(path)) for name, path in replay.logs(config).items()}

    def logs_table(self) -> list[str]:
        return ["<results>/tables/logs.csv"]

    def outside(self) -> dict[str, list[str]]:
        """Files that describe data from outside: the logs themselves."""
        logs = list(self.logs.values())
        return {"dataset": [], "checkpoints": [], "features": [], "logs": logs}

    def shown_settings(self) -> list[str]:
        """Settings whose panels figure 5 shows."""
        return [self.config["main"]]

    def shown_variants(self) -> list[str]:
        """Variants of figure 5."""
        return self.figured["accuracy"] or ["original", "quant", "ft", "ft_quant"]

    def mixed_arms(self) -> list[list[str]]:
        """Arms of figure 6: setting, variant, and label."""
        return replay.mixed_arms(self.config)

    def claim_arms(self) -> dict[str, Any]:
        """The arm that plays each role in the claims."""
        return replay.claim_arms(self.config)

    def artifacts(self) -> list[str]:
        """All files but the tables and figures that a study has as well."""
        return ["<results>/accuracy.csv", "<results>/tables/subsets.csv", *self.logs_table()]

    def figures(self) -> list[str]:
        """The figures that have something to show."""
        return ["fig5", *(["fig6"] if self.figured["mixed"] else [])]


class Study(Plan):
    """A study that makes and measures networks.

    Attributes: networks: of the config, by id. trainable: these and the networks of partial
    training. subsets: definitions by id. variants: all that is made for every subset, repeats
    included, by id. made, trained, packed and deep: ids of variants by the steps that make them.
    """

    def __init__(self, config: Config, survey: Survey) -> None:
        super().__init__(config)
        self.seed, self.threads = config["seed"], config["threads"]
        self.networks = config["networks"]
        self.trainable = configured.networks(config)
        self.subsets = study.subsets(config, survey.classes)
        self.variants = study.made_variants(config)
        self.made = study.variants_with(config, *recipes.STEPS)
        self.trained = study.trained_variants(config)
        self.packed = study.packed_variants(config)
        self.deep = study.variants_with(config, "deep")
        self.scale = config["subsets"]["scale"]
        log = self.figured.get("published")
        self.published = [] if log is None else [str(expanded(log))]

    # Networks

    def checkpoint(self, network: str, subset: str | None, variant: str) -> str:
        """The file of a variant. The original is the same for every subset."""
        if variant == "original":
            return f"<results>/models/{network}/original.safetensors"
        return f"<results>/models/{network}/{subset}/{variant}.safetensors"

    def network_settings(self, network: str) -> Settings:
        """Settings of a network: those of its own entry alone."""
        description = dict(self.trainable[network])
        training, weights = (description.pop(key, None) for key in ("training", "weights"))
        description["name"] = description.pop("architecture")
        return {
            "entry": network,
            "network": description,
            "weights": None if weights is None else configured.weights_identity(weights),
            "training": None if training is None else recipes.training_effect(training),
            "seed": self.seed,
            "threads": self.threads,
        }

    def training_processes(self, network: str) -> int:
        """How many processes share a network's training; one where there is none."""
        return self.trainable[network].get("training", {}).get("processes", 1)

    def pretrained_networks(self) -> list[str]:
        return [network for network, entry in self.networks.items() if "weights" in entry]

    # Features and subsets

    def features_checkpoint(self) -> str | list[str]:
        """The study's network that features come from; none for another network, or for pixels."""
        source = self.config["features"]["source"]
        return self.checkpoint(source, None, "original") if source in self.networks else []

    def features_settings(self) -> Settings:
        """Threads matter where a network computes the features, not for pixels."""
        extractor = dict(self.config["features"])
        if "weights" in extractor:
            extractor["weights"] = configured.weights_identity(extractor["weights"])
        pixels = extractor["source"] == "pixels"
        return {"extractor": extractor, **({} if pixels else {"threads": self.threads})}

    def target_series(self, wildcards: Wildcards) -> str | list[str]:
        """The series that a subset is a member of; none for a single target."""
        definition = self.subsets[wildcards.subset]
        single = definition["kind"] != "target" or "count" not in definition
        return [] if single else f"<results>/icd/targets_{definition['count']}.json"

    # Variants

    def variant_files(self, pattern: str, variants: Iterable[str]) -> list[str]:
        """The pattern's files for all networks and subsets and these variants."""
        return files(pattern, network=self.networks, subset=self.subsets, variant=variants)

    def subset_files(self, pattern: str) -> list[str]:
        """The pattern's files for all networks and subsets."""
        return files(pattern, network=self.networks, subset=self.subsets)

    def parent_checkpoint(self, wildcards: Wildcards) -> str:
        parent = self.variants[wildcards.variant]["parent"]
        return self.checkpoint(wildcards.network, wildcards.subset, parent)

    def own_checkpoint(self, wildcards: Wildcards) -> str:
        return self.checkpoint(wildcards.network, wildcards.subset, wildcards.variant)

    def all_checkpoints(self, wildcards: Wildcards) -> list[str]:
        ids = wildcards.network, wildcards.subset
        return [self.checkpoint(*ids, variant) for variant in self.variants]

    def calibration_subset(self, wildcards: Wildcards) -> str:
        """The subset whose classes calibrate a variant: its own, or another one's."""
        classes = self.variants[wildcards.variant]["compress"]["classes"]
        subset = wildcards.subset if classes in ("subset", "all", "none") else classes
        return f"<results>/subsets/{subset}.json"

    def variant_settings(self, variant: str) -> Settings:
        """Settings of making a variant: those of its recipe that make a difference."""
        recipe = self.variants[variant]
        # The threads of one process of a training. Snakemake gets those of all processes.
        trains = recipes.STEPS[recipes.of(recipe)].trains
        return {
            "variant": recipe["variant"],
            "recipe": study.effect(recipe),
            "repeat": recipe["repeat"],
            "seed": self.seed,
            **({"threads": 1} if trains else {}),
        }

    def variant_processes(self, wildcards: Wildcards) -> int:
        """How many processes share a variant's training."""
        recipe = self.variants[wildcards.variant]
        return recipe[recipes.of(recipe)]["processes"]

    def variants_and_repeats(self, variants: Iterable[str]) -> list[list[Any]]:
        """The variant and the repeat that ids stand for, as scripts take them."""
        return [
            [self.variants[name]["variant"], self.variants[name]["repeat"]] for name in variants
        ]

    # Calibration images made without data

    def made_images(self) -> list[str]:
        """Files of all images that are made, and of their losses."""
        pairs = study.made_images(self.config, self.subsets)
        return [
            f"<results>/synthetic/{network}/{classes}/{kind}.{suffix}"
            for network in self.networks
            for classes, kind in pairs
            for suffix in ("npz", "csv")
        ]

    def made_for_variant(self, wildcards: Wildcards) -> str | list[str]:
        """The images made for a variant's classes; none where training images calibrate it."""
        settings = self.variants[wildcards.variant]["compress"]
        if not study.calibrates_on_made(settings):
            return []
        classes = wildcards.subset if settings["classes"] == "subset" else settings["classes"]
        return f"<results>/synthetic/{wildcards.network}/{classes}/{settings['images_from']}.npz"

    def synthesis_settings(self, network: str, classes: str, kind: str) -> Settings:
        """Settings of making images: of the config's, those that make a difference to them."""
        synthesis = study.synthesis_effect(self.config["synthesis"], classes, kind)
        settings = {"network": network, "asked": classes, "kind": kind, "synthesis": synthesis}
        return {**settings, "seed": self.seed}

    def shown_images(self) -> tuple[Settings, list[str], list[list[str]]]:
        """The figure's network and subset, and of each row its file, classes and kind."""
        defaults = {"network": next(iter(self.networks)), "subset": next(iter(self.subsets))}
        example = {**defaults, **self.figured["synthetic"]}
        rows = study.made_images(self.config, [example["subset"]])
        folder = f"<results>/synthetic/{example['network']}"
        paths = [f"{folder}/{classes}/{kind}.npz" for classes, kind in rows]
        return example, paths, [list(row) for row in rows]

    # Sweeps

    def sweeps(self) -> list[str]:
        """The sweep's tables of single subsets."""
        return self._section_tables("sweep")

    def agnostic_controls(self) -> dict[str, str]:
        """The label-agnostic control of each variant that has one."""
        return study.agnostic_controls(self.config)

    def sweep_table(self) -> list[str]:
        return ["<results>/sweep.csv"] if self._has("sweep") else []

    def condition_tables(self) -> list[str]:
        """The conditions' tables of single subsets."""
        return self._section_tables("conditions")

    def _section_tables(self, section: str) -> list[str]:
        """A section's tables of single subsets."""
        if not self._has(section):
            return []
        pattern = f"<results>/{section}/{{network}}/{{subset}}.csv"
        return files(pattern, network=self.networks, subset=self.swept_subsets(section))

    def swept_subsets(self, section: str = "sweep") -> list[str]:
        """The subsets that a section names; all if it names none."""
        return list(self.config[section]["subsets"] or self.subsets)

    def sweep_settings(
        self, section: str, levels: Sequence[str], crossed: bool
    ) -> Callable[[Wildcards], Settings]:
        """Settings of a section's sweep: its levels, and the recipe that its points start from."""
        sweep = self.config[section]
        recipe = study.effect(self.config["variants"][sweep["variant"]])["compress"]
        return lambda wildcards: {
            "network": wildcards.network,
            "recipe": recipe,
            "levels": {key: sweep[key] for key in levels},
            "crossed": crossed,
            "repeats": sweep["repeats"],
            "seed": self.seed,
        }

    def sweep_base(
        self, section: str = "sweep", keys: Sequence[str] = ("bits", "images")
    ) -> Settings | None:
        """The settings of the variant that a sweep starts from; its layers are all layers."""
        if not self._has(section):
            return None
        settings = self.config["variants"][self.config[section]["variant"]]["compress"]
        return {key: settings.get(key, "all") for key in keys}

    # What figures and verdicts take

    def shown_settings(self) -> list[str]:
        """Settings whose panels figures show; all networks."""
        return []

    def shown_variants(self) -> list[str]:
        """Variants of figure 5."""
        return self.figured["accuracy"] or list(self.config["variants"])

    def mixed_arms(self) -> list[list[str | None]]:
        """Arms of figure 6: setting (each network's own), variant, and label (the variant's)."""
        return [[None, variant, None] for variant in self.figured["mixed"]]

    def claim_arms(self) -> dict[str, list[str | None]]:
        """The arm that plays each role in the claims; the setting is each network in turn."""
        roles = ["original", "quant", "ft", "ft_quant", "mp53", "mp35", "agnostic", "bits32"]
        arms = {role: self.config["claims"].get(role, role) for role in roles}
        return {
            role: [None, name] for role, name in arms.items() if name in self.config["variants"]
        }

    def claim_bits(self) -> dict[str, int]:
        settings = {
            role: self.config["variants"][name].get("compress", {})
            for role, (_, name) in self.claim_arms().items()
        }
        return {role: s["bits"] for role, s in settings.items() if isinstance(s.get("bits"), int)}

    def weights_example(self) -> Settings:
        """The layer of figure 4: network, subset and variant, and its name or None."""
        compressed = study.variants_with(self.config, "compress")
        defaults = {
            "network": next(iter(self.networks)),
            "subset": next(iter(self.subsets)),
            "variant": compressed[0] if compressed else None,
            "layer": None,
        }
        return {**defaults, **self.figured["weights"]}

    def weights_inputs(self) -> dict[str, str | list[str]]:
        """The compressed network of figure 4 and its parent; none where no network is compressed.

        Where BatchNorm is folded into the weights, tracing the parent needs an image.
        """
        example = self.weights_example()
        if example["variant"] is None:
            return {"checkpoint": [], "parent": [], "train": [], "classes": []}
        ids, recipe = (example["network"], example["subset"]), self.variants[example["variant"]]
        folded = recipe["compress"]["fold_batchnorm"]
        return {
            "checkpoint": self.checkpoint(*ids, example["variant"]),
            "parent": self.checkpoint(*ids, recipe["parent"]),
            "train": "<results>/dataset/train.npz" if folded else [],
            "classes": "<results>/dataset/classes.json" if folded else [],
        }

    def outside(self) -> dict[str, str | list[str]]:
        """Files that describe data from outside the study: inputs of its provenance."""
        features = self.config["features"]["source"] == "pretrained"
        logs = [*study.log_files(self.config), *study.replicated_logs(self.config).values()]
        paths = [*self.published, *logs, *study.given_matrix(self.config)]
        return {
            "dataset": "<results>/dataset/origin.json",
            "checkpoints": [
                self.checkpoint(network, None, "original") for network in self.pretrained_networks()
            ],
            "features": "<results>/features/train.parquet" if features else [],
            "logs": list(dict.fromkeys(paths)),
        }

    # All of it

    def memory_table(self) -> list[str]:
        return ["<results>/tables/memory.csv"]

    def similarity_tables(self) -> list[str]:
        """The table of all similarities, and that of what they predict."""
        names = ["similarity", "predictors"] if self._has("similarity") else []
        return files("<results>/tables/{name}.csv", name=names)

    def further_tables(self) -> list[str]:
        conditions = ["conditions"] if self._has("conditions") else []
        replication = ["replication", "correlations"] if self._has("replication") else []
        return [
            *files("<results>/tables/{name}.csv", name=conditions),
            *self.similarity_tables(),
            *files("<results>/tables/{name}.csv", name=replication),
            *self.deploy_tables(),
        ]

    def exported(self, suffix: str) -> list[str]:
        """Files of the ONNX exports: the variants of ``deploy`` for its subsets, or for all."""
        deploy = self.config.get("deploy", {"variants": [], "subsets": []})
        return files(
            f"<results>/onnx/{{network}}/{{subset}}/{{variant}}.{suffix}",
            network=self.networks,
            subset=deploy["subsets"] or self.subsets,
            variant=deploy["variants"],
        )

    def deploy_tables(self) -> list[str]:
        if not self._has("deploy"):
            return []
        names = ["deploy", "onnx"] if self.config["deploy"]["variants"] else ["deploy"]
        return files("<results>/tables/{name}.csv", name=names)

    def exports(self) -> list[str]:
        return [*self.exported("onnx"), *self.exported("csv")]

    def artifacts(self) -> list[str]:
        """All files but the tables and figures that a replay has as well."""
        networks = self.networks if self._has("similarity") else []
        return [
            *files("<results>/dataset/{name}", name=DATASET),
            "<results>/features/train.parquet",
            "<results>/umap/coordinates.parquet",
            "<results>/icd/kl_matrix.parquet",
            *files("<results>/subsets/{subset}.json", subset=self.subsets),
            *files(
                "<results>/models/{network}/{name}",
                network=self.networks,
                name=["original.safetensors", "training.csv"],
            ),
            *self.variant_files(
                "<results>/models/{network}/{subset}/{variant}.safetensors", self.made
            ),
            *self.variant_files("<results>/models/{network}/{subset}/{variant}.csv", self.trained),
            *self.variant_files("<results>/layers/{network}/{subset}/{variant}.csv", self.packed),
            *self.variant_files(
                "<results>/deep/{network}/{subset}/{variant}/stages.csv", self.deep
            ),
            *self.variant_files(
                "<results>/deep/{network}/{subset}/{variant}/rounds.csv", self.deep
            ),
            *self.subset_files("<results>/accuracy/{network}/{subset}.csv"),
            "<results>/accuracy.csv",
            *self.made_images(),
            *self.sweeps(),
            *self.sweep_table(),
            *self.condition_tables(),
            *(["<results>/tables/conditions.csv"] if self._has("conditions") else []),
            *files("<results>/similarity/{network}.csv", network=networks),
            *(["<results>/tables/similarity.csv"] if networks else []),
            "<results>/tables/subsets.csv",
            "<results>/tables/memory.csv",
        ]

    def figures(self) -> list[str]:
        """The figures that have something to show."""
        figures = {
            "fig1": True,
            "fig2": True,
            "fig3": True,
            "fig4": bool(study.variants_with(self.config, "compress")),
            "fig5": True,
            "fig6": bool(self.figured["mixed"]),
            "fig7": True,
            "fig8": self._has("sweep"),
            "fig9": self._has("similarity"),
            "conditions": self._has("conditions"),
            "synthetic": bool(self.made_images()),
            "replication": self._has("replication"),
        }
        return [figure for figure, exists in figures.items() if exists]

    def _has(self, section: str) -> bool:
        return section in self.config
