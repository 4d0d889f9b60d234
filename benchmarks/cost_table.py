"""Each form of the solver over sizes: measured time beside what ``laq.ptq.layer_selection``
predicts.
"""

from __future__ import annotations

import itertools
import math

import torch
import workload

from laq.ptq import gpfq, layer_selection
from laq.quantizers.uniform import Alphabet

SAMPLES = (16, 64, 256, 1024, 4096)
SHAPES = ((64, 64), (64, 576), (256, 1024), (512, 2304), (2048, 512), (512, 4608))

# Forms that should take this many times the chosen one are not run.
HOPELESS = 20


def show(repeats: int) -> None:
    """Print the table; one rate, fitted to all of it, turns predicted work into time."""
    rows = [
        (layer, form, work, _measure(layer, form, repeats))
        for layer in itertools.starmap(_layer, itertools.product(SAMPLES, SHAPES))
        for form, work in _worth_running(layer).items()
    ]
    logarithms = [math.log(seconds / work) for _, _, work, seconds in rows]
    rate = math.exp(-sum(logarithms) / len(rows))
    print(f"rate {rate / 1e9:.1f} G multiply-adds a second")
    print("    m     N     d  form     measured  predicted  ratio")
    losses = []
    for layer, group in itertools.groupby(rows, key=lambda row: row[0]):
        times = {form: (seconds, work / rate) for _, form, work, seconds in group}
        chosen = min(times, key=lambda form: times[form][1])
        fastest = min(times, key=lambda form: times[form][0])
        losses.append(times[chosen][0] / times[fastest][0])
        for form, (seconds, predicted) in times.items():
            notes = [
                note for note, which in (("chosen", chosen), ("fastest", fastest)) if form == which
            ]
            print(
                f"{layer.samples:5} {layer.neurons:5} {layer.columns:5}  {form:6} "
                f"{1e3 * seconds:8.1f} ms {1e3 * predicted:7.1f} ms {seconds / predicted:6.2f}  "
                f"{', '.join(notes)}"
            )
    ratios = [abs(value + math.log(rate)) for value in logarithms]
    print(
        f"predicted within a factor of {math.exp(max(ratios)):.2f}, "
        f"mostly (two in three) of {math.exp(sorted(ratios)[len(ratios) * 2 // 3]):.2f}"
    )
    print(
        f"the chosen form was the fastest for {sum(loss == 1 for loss in losses)} of {len(losses)} "
        f"sizes, and took at most {max(losses):.2f} times as long"
    )


def _layer(samples: int, shape: tuple[int, int]) -> layer_selection.LayerShape:
    return layer_selection.LayerShape(samples, *shape, threads=torch.get_num_threads())


def _worth_running(layer: layer_selection.LayerShape) -> dict[str, float]:
    works = {form: each.work for form, each in layer_selection.costs(layer, gpfq.BLOCK).items()}
    return {form: work for form, work in works.items() if work < HOPELESS * min(works.values())}


def _measure(layer: layer_selection.LayerShape, form: gpfq.Form, repeats: int) -> float:
    inputs, moved = workload.rectified(layer.samples, layer.columns)
    generator = torch.Generator().manual_seed(1)
    weight = 0.05 * torch.randn(layer.neurons, layer.columns, generator=generator)
    alphabet = Alphabet.from_weights(weight, 4)
    return min(
        workload.seconds(
            lambda: gpfq.quantize_layer(weight, inputs, moved, alphabet, form=form), repeats
        )
    )
