"""The command ``laq``: quantize, inspect, evaluate, compare and export from a shell."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laq.utils.errors import ConfigError, LaqError

if TYPE_CHECKING:
    from torch import nn

EXAMPLES = """\
examples:
  laq compare --network timm/resnet18 --weights w.pth --images data --classes cat,dog --bits 3,4,8
  laq quantize --network resnet18 --weights w.pth --images data --bits 4 -o small.safetensors
  laq inspect small.safetensors
  laq evaluate small.safetensors --images data --classes cat,dog
  laq export small.safetensors -o small.onnx
  laq recommend results/partial_qat --network small_resnet --bytes 600000

A network is named as torchvision names it (resnet18), or timm (timm/resnet18). Its weights are a
state dict, .pth or .safetensors; nothing is unpickled but tensors. Images are a folder with one
folder of images a class, or with train/ and test/ holding these. The classes are the network's
outputs in alphabetical order of the folders, or in the order of --class-names, a file with a name a
line.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code: 0, or 1 for an error that the user can mend."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except LaqError as error:
        print(f"laq {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="laq",
        description="Quantize networks for the classes that they are deployed on.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, run: Callable[[Any], None], about: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about)
        added.set_defaults(run=run)
        return added

    quantize = command("quantize", _quantize, "Quantize a network and write a packed file.")
    _add_network(quantize)
    _add_images(quantize)
    _add_recipe(quantize)
    quantize.add_argument("--bits", type=int, default=4, help="of a weight (default: 4)")
    quantize.add_argument("-o", "--output", type=Path, required=True, help="file to write")

    inspect = command("inspect", _inspect, "Show what a packed file is made of, layer by layer.")
    inspect.add_argument("file", type=Path)

    evaluate = command("evaluate", _evaluate, "Test a packed file.")
    evaluate.add_argument("file", type=Path)
    _add_images(evaluate)

    compare = command("compare", _compare, "Compare numbers of bits, label-aware and agnostic.")
    _add_network(compare)
    _add_images(compare)
    _add_recipe(compare)
    compare.add_argument("--bits", default="3,4,8", help="numbers of bits (default: 3,4,8)")
    compare.add_argument(
        "--tolerance", type=float, default=0.01, help="top-1 that may be lost (default: 0.01)"
    )
    compare.add_argument("--plot", action="store_true", help="draw accuracy against bytes too")
    compare.add_argument(
        "-o", "--output", type=Path, default=Path("comparison"), help="folder to write"
    )

    export = command("export", _export, "Write a packed file in ONNX, with integer weights.")
    export.add_argument("file", type=Path)
    export.add_argument("-o", "--output", type=Path, required=True, help=".onnx file to write")

    recommend = command("recommend", _recommend, "Say which layers to quantize in training.")
    recommend.add_argument("results", type=Path, help="folder of partial_qat's tables")
    recommend.add_argument("--network", help="its id; may be left out where there is one")
    for name, meaning in LIMITS.items():
        recommend.add_argument(f"--{name.replace('_', '-')}", type=float, help=meaning)
    return parser


LIMITS = {
    "bytes": "bytes of the file, at most",
    "update_bytes": "bytes that a client downloads, at most",
    "step_bytes": "bytes that a process sends in a training step, at most",
    "accuracy_drop": "percent points of top-1 that may be lost",
}


def _add_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", required=True, help="resnet18, timm/resnet18, …")
    parser.add_argument("--weights", type=Path, required=True, help="its state dict")
    parser.add_argument(
        "--mean", type=_numbers, help="of its images, by channel (default: timm's, or ImageNet's)"
    )
    parser.add_argument("--std", type=_numbers, help="their standard deviation, by channel")


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--classes", help="names of the deployed classes (default: all)")
    parser.add_argument("--class-names", type=Path, help="names of the network's outputs")
    parser.add_argument("--size", type=int, default=224, help="pixels of an image (default: 224)")


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method", default="gpfq", help="gpfq, gptq, adaround, … (default: gpfq)")
    parser.add_argument("--activations", type=int, help="bits of the layers' inputs")
    parser.add_argument("--count", type=int, default=64, help="calibration images (default: 64)")
    parser.add_argument("--seed", type=int, default=0)


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",")]


def _class_names(options: argparse.Namespace) -> list[str]:
    """Names of the network's outputs, in their order."""
    from laq.data import folder_tree

    if options.class_names is None:
        return list(folder_tree.scan({"path": str(options.images)}).classes)
    try:
        lines = options.class_names.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"--class-names {options.class_names}: {error.strerror}") from error
    return [line.strip() for line in lines if line.strip()]


def _network(options: argparse.Namespace) -> tuple[nn.Module, dict[str, Any]]:
    """The network with its weights, and what a file says of it."""
    from laq.checkpoints import pretrained
    from laq.models import networks

    names = _class_names(options)
    spec = {"name": options.network, "classes": len(names), "channels": 3, "side": options.size}
    spec |= {"stem": "standard", **_normalisation(options)}
    network = networks.create(**spec)
    pretrained.put_into(network, options.weights, {}, new_head=False, classes=len(names))
    return network.eval(), {"network": spec, "classes": names}


def _normalisation(options: argparse.Namespace) -> dict[str, list[float]]:
    """Mean and deviation of the images: those given, those of timm's network, or ImageNet's."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    if options.network.startswith("timm/"):
        import timm

        found = timm.get_pretrained_cfg(
            options.network.removeprefix("timm/"), allow_unregistered=True
        )
        if found is not None:
            mean, std = found.mean, found.std
    return {"mean": [*(options.mean or mean)], "std": [*(options.std or std)]}


def _quantize(options: argparse.Namespace) -> None:
    import laq

    network, description = _network(options)
    classes = _names(options.classes)
    images = laq.calibration_images(
        options.images, classes, options.count, options.seed, size=options.size
    )
    quantized = laq.quantize(
        network,
        images,
        bits=options.bits,
        method=options.method,
        activations=options.activations,
        seed=options.seed,
    )
    size = quantized.described(**description).save(options.output)
    print(f"{options.output}: {size:,} bytes")


def _inspect(options: argparse.Namespace) -> None:
    from laq.checkpoints.inspection import inspect, render

    print(render(inspect(options.file)), end="")


def _evaluate(options: argparse.Namespace) -> None:
    import laq

    table = laq.evaluate(
        laq.load(options.file), options.images, _names(options.classes), size=options.size
    )
    print(table.to_string(index=False))


def _compare(options: argparse.Namespace) -> None:
    import laq
    from laq.api.comparison import default_recipes

    network, description = _network(options)
    classes = _names(options.classes)
    recipes = {
        name: {**recipe, "method": options.method, "activations": options.activations}
        for name, recipe in default_recipes(
            [int(bits) for bits in options.bits.split(",")], label_aware=classes is not None
        ).items()
    }
    comparison = laq.compare(
        network,
        recipes,
        options.images,
        classes,
        images=options.count,
        tolerance=options.tolerance,
        size=options.size,
        seed=options.seed,
    )
    paths = comparison.described(**description).save(options.output)
    print(comparison.table.to_string(index=False, float_format="{:.3f}".format))
    print(f"recommended: {comparison.recommended}")
    if options.plot:
        paths += comparison.plot(options.output / "comparison")
    print(f"written: {', '.join(map(str, paths))}")


def _export(options: argparse.Namespace) -> None:
    from laq.onnx.export import export

    written = export(options.file, options.output)
    print(f"{options.output}: {written.bytes:,} bytes, {written.counts()}")


def _recommend(options: argparse.Namespace) -> None:
    from laq.analysis.partial.recommendation import advise

    limits = {name: getattr(options, name) for name in LIMITS if getattr(options, name) is not None}
    if "accuracy_drop" in limits:
        limits["drop"] = limits.pop("accuracy_drop") / 100
    _, text = advise(options.results, options.network, limits, False, 0.95)
    print(text, end="")


if __name__ == "__main__":
    sys.exit(main())
