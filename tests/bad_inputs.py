"""What a user, a disk or a colleague may do to a study's artifacts, and what each job that reads
one must say: the file, what is wrong in it, and what to do. Paths are below the study's root; the
study is config/digits.yaml, finished."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tests import spoil
from tests.spoil import Change

AGAIN = "delete it and run again"
REMAKE = "delete it and run the rule that makes it again"
RUN = "run the rule that makes it"
BOTH = "delete both and run"

NETWORK = "models/small_resnet"
EVEN = f"{NETWORK}/even"
CONVOLUTION = "stages.1.conv1.weight"


class Case(NamedTuple):
    """``file`` is changed, then the job that makes ``makes`` runs and says ``says``, in any order,
    with ``remedy`` among it; the file itself is always named, unless ``names`` is another one."""

    what: str
    makes: str
    file: str
    change: Change
    says: tuple[str, ...]
    remedy: str
    names: str | None = None


def _labels(found: dict[str, np.ndarray]) -> None:
    """Ten further images of a class there is not."""
    found["labels"][:10] = 10


def _images_of_floats(found: dict[str, np.ndarray]) -> None:
    found["images"] = found["images"].astype(np.float32)


def _other_labels(found: dict[str, np.ndarray]) -> None:
    found["labels"] = np.roll(found["labels"], 1)


def _other_size(found: dict[str, np.ndarray]) -> None:
    found["images"] = found["images"].repeat(2, axis=2).repeat(2, axis=3)


def _objects(found: dict[str, np.ndarray]) -> None:
    found["labels"] = np.array([{"pickled": 1}] * len(found["labels"]), dtype=object)


def _first_class_last(names: list[str]) -> list[str]:
    return [*names[1:], names[0]]


def _shuffled(table: Any) -> Any:
    return table.sample(frac=1, random_state=0)


def _as_text(table: Any) -> Any:
    return table.astype(str)


def _named_otherwise(table: Any) -> Any:
    return table.rename(index={table.index[0]: table.index[1], table.index[1]: table.index[0]})


def _below_zero(table: Any) -> Any:
    table.iloc[0, 1] = table.iloc[1, 0] = -1.0
    return table


def _not_symmetric(table: Any) -> Any:
    table.iloc[0, 1] *= 2
    return table


def _not_a_number(table: Any) -> Any:
    table.iloc[2, 3] = np.nan
    return table


def _huge_array(path: Any) -> None:
    """Labels whose header claims 2⁵⁰ of them."""
    import io
    import zipfile

    header = io.BytesIO()
    shape = {"descr": "<i8", "fortran_order": False, "shape": (2**50,)}
    np.lib.format.write_array_header_1_0(header, shape)
    with zipfile.ZipFile(path) as archive:
        images = archive.read("images.npy")
    path.unlink()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", images)
        archive.writestr("labels.npy", header.getvalue())


def _no_step(tensors: dict[str, Any], described: dict[str, Any]) -> None:
    tensors[f"{CONVOLUTION}.step.0"] *= -1


def _one_class_less(tensors: dict[str, Any], described: dict[str, Any]) -> None:
    tensors["head.weight"], tensors["head.bias"] = (
        tensors[name][:-1].clone() for name in ("head.weight", "head.bias")
    )
    described["network"]["classes"] = 9
    described["classes"] = described["classes"][:-1]


DATA_SET = [
    Case(
        *("no training images", "features/train.parquet", "dataset/train.npz"),
        *(spoil.missing, ("does not exist",), RUN),
    ),
    Case(
        *("half an archive", "features/train.parquet", "dataset/train.npz"),
        *(spoil.half, ("does not hold this data set",), AGAIN),
    ),
    Case(
        *("an archive without a byte", f"{EVEN}/quant.safetensors", "dataset/train.npz"),
        *(spoil.empty, ("does not hold this data set",), AGAIN),
    ),
    Case(
        *("a flipped bit in an image", f"{EVEN}/ft.safetensors", "dataset/train.npz"),
        *(spoil.flip(0.5), ("CRC",), AGAIN),
    ),
    Case(
        *("labels beyond the classes", "sweep/small_resnet/even.csv", "dataset/train.npz"),
        *(spoil.arrays(_labels), ("labels run from 0 to 10", "10 classes"), AGAIN),
    ),
    Case(
        *("images of floats", "accuracy/small_resnet/even.csv", "dataset/test.npz"),
        *(spoil.arrays(_images_of_floats), ("images are float32", "uint8"), AGAIN),
    ),
    Case(
        *("images of another size", "accuracy/small_resnet/even.csv", "dataset/test.npz"),
        *(spoil.arrays(_other_size), ("images of shape [1, 8, 8], not [1, 16, 16]",), REMAKE),
        f"{NETWORK}/original.safetensors",
    ),
    Case(
        *("a pickle in an archive", "features/train.parquet", "dataset/train.npz"),
        *(spoil.arrays(_objects), ("allow_pickle=False",), AGAIN),
    ),
    Case(
        *("a compressed archive, of any size", "features/train.parquet", "dataset/train.npz"),
        *(spoil.arrays(lambda found: None, compressed=True), ("are compressed",), AGAIN),
    ),
    Case(
        *("a header that claims too much", "icd/kl_matrix.parquet", "dataset/train.npz"),
        *(_huge_array, ("does not hold this data set",), AGAIN),
    ),
    Case(
        *("the test images for the training's", "icd/kl_matrix.parquet", "dataset/train.npz"),
        *(spoil.copy_of("test.npz"), ("one row for each of the 359",), AGAIN),
        "umap/coordinates.parquet",
    ),
    Case(
        *("no class names", "features/train.parquet", "dataset/classes.json"),
        *(spoil.missing, ("does not exist",), RUN),
    ),
    Case(
        *("class names that are no JSON", "accuracy/small_resnet/even.csv", "dataset/classes.json"),
        *(spoil.half, ("is not valid JSON",), AGAIN),
    ),
    Case(
        *("class names in Latin-1", "features/train.parquet", "dataset/classes.json"),
        *(spoil.content('["größe"]'.encode("latin1")), ("is not valid JSON",), AGAIN),
    ),
    Case(
        *("class names that are numbers", "features/train.parquet", "dataset/classes.json"),
        *(spoil.content("[0, 1, 2]"), ("not a list of class names",), AGAIN),
    ),
    Case(
        *("a class named twice", f"{EVEN}/quant.safetensors", "dataset/classes.json"),
        *(spoil.parsed(lambda names: ["1", *names[1:]]), ("more than once (1)",), AGAIN),
    ),
    Case(
        *("a class without images", "features/train.parquet", "dataset/classes.json"),
        *(spoil.parsed(lambda names: [*names, "ten"]), ("no image is of the class 'ten'",), AGAIN),
    ),
    Case(
        *("a class missing", "features/train.parquet", "dataset/classes.json"),
        *(spoil.parsed(lambda names: names[:-1]), ("labels run from 0 to 9", "9 classes"), AGAIN),
        "dataset/train.npz",
    ),
    Case(
        *("classes in another order", f"{EVEN}/quant.safetensors", "dataset/classes.json"),
        *(spoil.parsed(_first_class_last), ("of other classes", "class 0 '0'"), AGAIN),
        "subsets/even.json",
    ),
    Case(
        *("classes in another order", "features/train.parquet", "dataset/classes.json"),
        *(spoil.parsed(_first_class_last), ("10 classes (0, 1, 2, …)", "(1, 2, 3, …)"), REMAKE),
        f"{NETWORK}/original.safetensors",
    ),
]

DISTANCES = [
    Case(
        *("no features", "umap/coordinates.parquet", "features/train.parquet"),
        *(spoil.missing, ("train.parquet",), AGAIN),
    ),
    Case(
        *("half of the features", "umap/coordinates.parquet", "features/train.parquet"),
        *(spoil.half, ("is not a feature table",), AGAIN),
    ),
    Case(
        *("features without labels", "umap/coordinates.parquet", "features/train.parquet"),
        *(spoil.frame(lambda t: t.drop(columns="label")), ("label",), AGAIN),
    ),
    Case(
        *("features in another order", "umap/coordinates.parquet", "features/train.parquet"),
        *(spoil.features_reversed, ("not in the order of the images",), AGAIN),
    ),
    Case(
        *("features that are CSV", "umap/coordinates.parquet", "features/train.parquet"),
        *(spoil.content("index,label,features\n0,0,1\n"), ("is not a feature table",), AGAIN),
    ),
    Case(
        *("coordinates without a column", "icd/kl_matrix.parquet", "umap/coordinates.parquet"),
        *(spoil.frame(lambda t: t.drop(columns="umap_2")), ("lacks the column umap_2",), AGAIN),
    ),
    Case(
        *("a coordinate that is NaN", "icd/kl_matrix.parquet", "umap/coordinates.parquet"),
        *(spoil.frame(lambda t: spoil.at(t, 7, "umap_1", np.nan)), ("row 8: umap_1",), AGAIN),
    ),
    Case(
        *("coordinates that are text", "icd/kl_matrix.parquet", "umap/coordinates.parquet"),
        *(spoil.frame(_as_text), ("index is '0'", "a whole number"), AGAIN),
    ),
    Case(
        *("coordinates in another order", "icd/kl_matrix.parquet", "umap/coordinates.parquet"),
        *(spoil.frame(_shuffled), ("one row for each of the 1438", "order"), AGAIN),
    ),
    Case(
        *("one image less", "figures/fig1.pdf", "umap/coordinates.parquet"),
        *(spoil.frame(lambda t: t.iloc[:-1]), ("one row for each of the 1438",), AGAIN),
    ),
    Case(
        *("labels of other images", "icd/kl_matrix.parquet", "umap/coordinates.parquet"),
        *(spoil.frame(lambda t: t.assign(label=np.roll(t["label"], 1))), ("other images",), AGAIN),
    ),
    Case(
        *("other images than the plane's", "figures/fig1.pdf", "dataset/train.npz"),
        *(spoil.arrays(_other_labels), ("other images",), AGAIN, "umap/coordinates.parquet"),
    ),
    Case(
        *("a series cut short", "subsets/target_1.json", "icd/targets_2.json"),
        *(spoil.half, ("is not valid JSON",), AGAIN),
    ),
    Case(
        *("a subset for a series", "subsets/target_2.json", "icd/targets_2.json"),
        *(spoil.copy_of("../subsets/even.json"), ("does not hold 2 subsets of 4 classes",), AGAIN),
    ),
    Case(
        *("distances cut short", "subsets/similar.json", "icd/kl_matrix.parquet"),
        *(spoil.half, ("is not a readable table",), AGAIN),
    ),
    Case(
        *("distances, a row and a column less", "subsets/even.json", "icd/kl_matrix.parquet"),
        *(spoil.frame(lambda t: t.iloc[:-1]), ("names its 9 rows otherwise",), AGAIN),
    ),
    Case(
        *("two rows of distances renamed", "subsets/random.json", "icd/kl_matrix.parquet"),
        *(spoil.frame(_named_otherwise), ("names its 10 rows otherwise",), AGAIN),
    ),
    Case(
        *("a distance below zero", "subsets/target_1.json", "icd/kl_matrix.parquet"),
        *(spoil.frame(_below_zero), ("'0' and '1' are -1 apart",), AGAIN),
    ),
    Case(
        *("another distance the other way", "subsets/similar.json", "icd/kl_matrix.parquet"),
        *(spoil.frame(_not_symmetric), ("'0' and '1' are", "the other way"), AGAIN),
    ),
    Case(
        *("a distance that is NaN", "subsets/dissimilar.json", "icd/kl_matrix.parquet"),
        *(spoil.frame(_not_a_number), ("'2' and '3' are nan apart",), AGAIN),
    ),
    Case(
        *("distances that are text", "subsets/similar.json", "icd/kl_matrix.parquet"),
        *(spoil.frame(_as_text), ("other columns than float64",), AGAIN),
    ),
    Case(
        *("coordinates in place of distances", "subsets/similar.json", "icd/kl_matrix.parquet"),
        *(spoil.copy_of("../umap/coordinates.parquet"), ("otherwise than its columns",), AGAIN),
    ),
]

SUBSET = [
    Case(
        *("no subset", "accuracy/small_resnet/even.csv", "subsets/even.json"),
        *(spoil.missing, ("does not exist",), RUN),
    ),
    Case(
        *("a list in place of a subset", f"{EVEN}/quant.safetensors", "subsets/even.json"),
        *(spoil.content("[0, 1]"), ("is no subset",), AGAIN),
    ),
    Case(
        *("a subset without indices", f"{EVEN}/ft.safetensors", "subsets/even.json"),
        *(spoil.drop("indices"), ("lacks indices",), AGAIN),
    ),
    Case(
        *("indices of text", "sweep/small_resnet/even.csv", "subsets/even.json"),
        *(spoil.put(indices=["0", "2", "4", "6", "8"]), ("positions of classes",), AGAIN),
    ),
    Case(
        *("an index beyond the classes", "accuracy/small_resnet/even.csv", "subsets/even.json"),
        *(spoil.put(indices=[0, 2, 4, 6, 10]), ("calls class 10 '8'",), AGAIN),
    ),
    Case(
        *("a class twice", f"{EVEN}/quant.safetensors", "subsets/even.json"),
        *(spoil.put(indices=[0, 2, 2, 6, 8]), ("one twice",), AGAIN),
    ),
    Case(
        *("one class alone", f"{EVEN}/quant.safetensors", "subsets/even.json"),
        *(spoil.put(indices=[0], classes=["0"]), ("lists 1 classes",), AGAIN),
    ),
    Case(
        *("names of other classes", "similarity/small_resnet.csv", "subsets/even.json"),
        *(spoil.put(classes=["a", "2", "4", "6", "8"]), ("calls class 0 'a'",), AGAIN),
    ),
    Case(
        *("a distance that is NaN", "accuracy/small_resnet/even.csv", "subsets/even.json"),
        *(spoil.put(median_icd=float("nan")), ("no distance but nan (median_icd)",), AGAIN),
    ),
    Case(
        *("a median beyond the largest", "tables/subsets.csv", "subsets/even.json"),
        *(spoil.put(median_icd=1e9), ("median_icd of 1e+09 outside",), AGAIN),
    ),
    Case(
        *("a subset in place of another", "tables/subsets.csv", "subsets/even.json"),
        *(spoil.copy_of("random.json"), ("both of the subset random",), BOTH),
    ),
    Case(
        *("a subset in place of another", "accuracy/small_resnet/even.csv", "subsets/even.json"),
        *(spoil.copy_of("random.json"), ("was made for the classes [0, 2, 4, 6, 8]",), REMAKE),
        f"{EVEN}/quant.safetensors",
    ),
]

CHECKPOINTS = [
    Case(
        *("no network", "features/train.parquet", f"{NETWORK}/original.safetensors"),
        *(spoil.missing, ("does not exist",), RUN),
    ),
    Case(
        *("half a network", f"{EVEN}/quant.safetensors", f"{NETWORK}/original.safetensors"),
        *(spoil.half, ("is truncated or no safetensors file",), REMAKE),
    ),
    Case(
        *("an empty network", f"{EVEN}/ft.safetensors", f"{NETWORK}/original.safetensors"),
        *(spoil.empty, ("is truncated or no safetensors file",), REMAKE),
    ),
    Case(
        *("a folder", "sweep/small_resnet/even.csv", f"{NETWORK}/original.safetensors"),
        *(spoil.folder, ("is truncated or no safetensors file",), REMAKE),
    ),
    Case(
        *("a program in a pickle", "features/train.parquet", f"{NETWORK}/original.safetensors"),
        *(spoil.program, ("is truncated or no safetensors file",), REMAKE),
    ),
    Case(
        *("a flipped bit", "accuracy/small_resnet/even.csv", f"{EVEN}/quant.safetensors"),
        *(spoil.flip(0.9), ("was altered after it was written",), REMAKE),
    ),
    Case(
        *("a weight that is NaN", "sweep/small_resnet/even.csv", f"{NETWORK}/original.safetensors"),
        *(spoil.tensor("head.weight", lambda w: w * np.nan), ("head.weight holds NaN",), REMAKE),
    ),
    Case(
        *("a step below zero", "accuracy/small_resnet/even.csv", f"{EVEN}/quant.safetensors"),
        *(spoil.checkpoint(_no_step), (CONVOLUTION, "must be positive and finite"), REMAKE),
    ),
    Case(
        *("a tensor renamed", f"{EVEN}/quant.safetensors", f"{NETWORK}/original.safetensors"),
        *(spoil.checkpoint(lambda t, _: t.update(odd=t.pop("head.bias"))),),
        *(("does not fit the network", "head.bias", "odd"), REMAKE),
    ),
    Case(
        *("a tensor of another shape", f"{EVEN}/ft.safetensors", f"{NETWORK}/original.safetensors"),
        *(spoil.tensor("head.weight", lambda w: w[:, 1:].clone()),),
        *(("does not fit the network", "head.weight"), REMAKE),
    ),
    Case(
        *("a class less", "accuracy/small_resnet/even.csv", f"{NETWORK}/original.safetensors"),
        *(spoil.checkpoint(_one_class_less), ("is of 9 classes", "the data's 10"), REMAKE),
    ),
    Case(
        *("a variant in place of another", "accuracy/small_resnet/even.csv"),
        *(f"{EVEN}/quant.safetensors", spoil.copy_of("ft.safetensors")),
        *(("is the variant ft, not quant",), REMAKE),
    ),
    Case(
        *("a repeat in place of another", "accuracy/small_resnet/even.csv"),
        *(f"{EVEN}/quant.safetensors", spoil.copy_of("quant-2.safetensors")),
        *(("is the variant quant-2, not quant",), REMAKE),
    ),
    Case(
        *("a variant of another subset", "accuracy/small_resnet/even.csv"),
        *(f"{EVEN}/quant.safetensors", spoil.copy_of("../random/quant.safetensors")),
        *(("was made for the classes", "not [0, 2, 4, 6, 8]"), REMAKE),
    ),
    Case(
        *("the parent of another subset", f"{EVEN}/ft_quant.safetensors", f"{EVEN}/ft.safetensors"),
        *(spoil.copy_of("../random/ft.safetensors"), ("was made for the classes",), REMAKE),
    ),
    Case(
        *("the original in place of its variant", f"{EVEN}/ft_quant.safetensors"),
        *(f"{EVEN}/ft.safetensors", spoil.copy_of("../original.safetensors")),
        *(("is the variant original, not ft",), REMAKE),
    ),
    Case(
        *("a network of another seed", f"{EVEN}/quant.safetensors"),
        *(f"{NETWORK}/original.safetensors", spoil.said(seed=1), ("from the seed 1, not 0",)),
        REMAKE,
    ),
    Case(
        *("variants of another network", "accuracy/small_resnet/even.csv"),
        *(f"{NETWORK}/original.safetensors", spoil.tensor("head.bias", lambda b: b + 1)),
        *(("was made from another network than the one in",), REMAKE),
    ),
    Case(
        *("a network that tells nothing of itself", "similarity/small_resnet.csv"),
        *(f"{NETWORK}/original.safetensors", spoil.checkpoint(lambda _, d: d.pop("classes"))),
        *(("does not say classes of itself",), REMAKE),
    ),
    Case(
        *("a network of an unknown name", "sweep/small_resnet/even.csv"),
        *(f"{NETWORK}/original.safetensors",),
        *(spoil.checkpoint(lambda _, d: d["network"].update(name="os.system")),),
        *(("does not fit the network it names",), REMAKE),
    ),
    Case(
        *("a variant for the original in a figure", "figures/fig4.pdf"),
        *(f"{NETWORK}/similar/quant.safetensors", spoil.half),
        *(("is truncated or no safetensors file",), REMAKE),
    ),
    Case(
        *("a layer report of another making", "tables/memory.csv"),
        *("layers/small_resnet/even/quant.csv", spoil.copy_of("quant-2.csv")),
        *(("is not the layer report of", "stem.0"), BOTH),
    ),
    Case(
        *("a layer report without its last layer", "tables/memory.csv"),
        *(
            "layers/small_resnet/even/quant.csv",
            spoil.last_line,
            ("is not the layer report of", "head"),
            BOTH,
        ),
    ),
    Case(
        *("a layer report without entropies", "tables/memory.csv"),
        *("layers/small_resnet/even/quant.csv", spoil.without("entropy")),
        *(("lacks the column entropy",), AGAIN),
    ),
    Case(
        *("bits that are text", "tables/memory.csv", "layers/small_resnet/even/quant.csv"),
        *(spoil.cell("bits", "four"), ("row 1: bits is 'four'",), AGAIN),
    ),
]

ONE_LACKS = "delete the one that lacks rows and run again"
TABLES = [
    Case(
        *("no accuracy of a subset", "accuracy.csv", "accuracy/small_resnet/even.csv"),
        *(spoil.missing, ("does not exist",), RUN),
    ),
    Case(
        *("an empty table", "accuracy.csv", "accuracy/small_resnet/even.csv"),
        *(spoil.empty, ("is not a readable table",), AGAIN),
    ),
    Case(
        *("a header alone", "accuracy.csv", "accuracy/small_resnet/even.csv"),
        *(spoil.header_alone, ("has no rows",), AGAIN),
    ),
    Case(
        *("a number cut short", "accuracy.csv", "accuracy/small_resnet/even.csv"),
        *(spoil.tail, ("last line is cut short",), AGAIN),
    ),
    Case(
        *("a line lost", "accuracy.csv", "accuracy/small_resnet/even.csv"),
        *(spoil.last_line, ("ft_quant, 1, subset",), ONE_LACKS),
    ),
    Case(
        *("a row twice", "accuracy.csv", "accuracy/small_resnet/even.csv"),
        *(spoil.rows(spoil.twice), ("is there twice",), AGAIN),
    ),
    Case(
        *("a column less", "accuracy.csv", "accuracy/small_resnet/even.csv"),
        *(
            spoil.without("in_subset"),
            ("other columns", "in_subset"),
            "delete the one that is wrong",
        ),
    ),
    Case(
        *("a column twice", "accuracy.csv", "accuracy/small_resnet/even.csv"),
        *(spoil.column_twice("top1"), ("more than one column top1",), AGAIN),
    ),
    Case(
        *("a cell more in every row", "accuracy.csv", "accuracy/small_resnet/even.csv"),
        *(spoil.rows(spoil.more_cells), ("row 1 has 14 cells, the header 13",), AGAIN),
    ),
    Case(
        *("cells less in the last row", "accuracy.csv", "accuracy/small_resnet/even.csv"),
        *(spoil.rows(spoil.fewer_cells), ("row 10 has 11 cells",), AGAIN),
    ),
    Case(
        *("the table of another subset", "accuracy.csv", "accuracy/small_resnet/even.csv"),
        *(spoil.copy_of("random.csv"), ("another table's network and subset",), AGAIN),
    ),
    Case(
        *("a share above 1", "accuracy.csv", "accuracy/small_resnet/even.csv"),
        *(spoil.cell("top1", "97.9"), ("row 1: top1 is 97.9", "from 0 to 1"), AGAIN),
    ),
    Case(
        *("Latin-1", "accuracy.csv", "accuracy/small_resnet/even.csv"),
        *(spoil.latin1, ("is not a readable table", "utf-8"), AGAIN),
    ),
    Case(
        *("a program in a pickle", "accuracy.csv", "accuracy/small_resnet/even.csv"),
        *(spoil.program, ("is not a readable table",), AGAIN),
    ),
    Case(
        *("a line of the sweep lost", "sweep.csv", "sweep/small_resnet/even.csv"),
        *(spoil.last_line, ("subset",), ONE_LACKS),
    ),
    Case(
        *("a rate that is not its counts'", "tables/curves.csv", "accuracy.csv"),
        *(spoil.cell("top1", "0.5"), ("row 1: top1 is 0.5", " images are correct"), AGAIN),
    ),
    Case(
        *("a scope there is not", "tables/curves.csv", "accuracy.csv"),
        *(spoil.cell("scope", "some"), ("row 1: scope is 'some'", "all or subset"), AGAIN),
    ),
    Case(
        *("an empty rate", "tables/curves.csv", "accuracy.csv"),
        *(spoil.cell("top1", ""), ("row 1: top1 is empty",), AGAIN),
    ),
    Case(
        *("two distances exchanged", "tables/claims.csv", "accuracy.csv"),
        *(spoil.cell("median_icd", "999.5"), ("median ICD of 999.5", "subsets.csv at "), BOTH),
    ),
    Case(
        *("rows of two subsets exchanged", "tables/curves.csv", "accuracy.csv"),
        *(spoil.swapped_cells("subset", lambda row: row[2] == "ft" and row[4] == "all"),),
        *(("at a median ICD of",), BOTH),
    ),
    Case(
        *("a row lost", "tables/curves.csv", "accuracy.csv"),
        *(spoil.last_line, ("no row of small_resnet, ft_quant, 1, subset on even",), AGAIN),
    ),
    Case(
        *("a row twice", "figures/fig5.pdf", "accuracy.csv"),
        *(spoil.rows(spoil.twice), ("two rows of setting small_resnet",), AGAIN),
    ),
    Case(
        *("a subset there is not", "tables/predictors.csv", "tables/subsets.csv"),
        *(spoil.last_line, ("and", "subsets.csv has not"), BOTH),
    ),
    Case(
        *("a subset called a duplicate", "tables/curves.csv", "tables/subsets.csv"),
        *(spoil.cell("duplicate_of", "random"), ("calls similar a duplicate of random",), AGAIN),
    ),
    Case(
        *("a subset listed twice", "tables/curves.csv", "tables/subsets.csv"),
        *(spoil.rows(spoil.twice), ("two rows of target_1",), AGAIN),
    ),
    Case(
        *("a sweep without a column", "figures/fig8.pdf", "sweep.csv"),
        *(spoil.without("images"), ("lacks the column images",), AGAIN),
    ),
    Case(
        *("a sweep that lost a row", "tables/claims.csv", "sweep.csv"),
        *(spoil.last_line, ("has not the same rows for even",), ONE_LACKS),
    ),
    Case(
        *("a row of the sweep twice", "tables/predictors.csv", "sweep.csv"),
        *(spoil.rows(spoil.twice), ("is there twice",), AGAIN),
    ),
    Case(
        *("similarities that lost a subset", "tables/predictors.csv", "tables/similarity.csv"),
        *(spoil.last_line, ("no row of small_resnet on even",), AGAIN),
    ),
    Case(
        *("a similarity above 1", "figures/fig9.pdf", "tables/similarity.csv"),
        *(spoil.cell("gram_similarity", "1.5"), ("gram_similarity is 1.5",), AGAIN),
    ),
    Case(
        *("predictors without ranks", "figures/fig9.pdf", "tables/predictors.csv"),
        *(spoil.without("spearman"), ("lacks the column spearman",), AGAIN),
    ),
    Case(
        *("sizes that lost a row", "figures/fig7.pdf", "tables/memory.csv"),
        *(spoil.last_line, ("has not the same rows for even",), ONE_LACKS),
    ),
    Case(
        *("sizes below nothing", "figures/fig7.pdf", "tables/memory.csv"),
        *(spoil.cell("packed_bytes", "-5"), ("packed_bytes is -5",), AGAIN),
    ),
    Case(
        *("verdicts cut short", "report/summary.html", "tables/claims.csv"),
        *(spoil.half, ("claims.csv",), AGAIN),
    ),
    Case(
        *("verdicts without a column", "report/summary.html", "tables/claims.csv"),
        *(spoil.without("remark"), ("lacks the column remark",), AGAIN),
    ),
    Case(
        *("an effect that is a word", "report/summary.html", "tables/claims.csv"),
        *(spoil.cell("effect", "large"), ("row 1: effect is 'large', not a number",), AGAIN),
    ),
    Case(
        *("a verdict that is none", "report/summary.html", "tables/claims.csv"),
        *(spoil.cell("verdict", "maybe"), ("'maybe' is no verdict",), AGAIN),
    ),
    Case(
        *("a note of the data's origin cut short", "provenance.json", "dataset/origin.json"),
        *(spoil.half, ("is not valid JSON",), AGAIN),
    ),
    Case(
        *("a table that is a picture", "report/summary.html", "accuracy.csv"),
        *(spoil.copy_of("figures/fig1.png"), ("is not a readable table",), AGAIN),
    ),
    Case(
        *("distances that a figure tells of", "figures/fig2.pdf", "icd/kl_matrix.parquet"),
        *(spoil.half, ("cannot be read",), AGAIN),
    ),
]

CASES = [*DATA_SET, *DISTANCES, *SUBSET, *CHECKPOINTS, *TABLES]
