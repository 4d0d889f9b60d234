"""Weights that a file holds as what they are computed from.

Weight normalisation and pruning of ``torch.nn.utils`` keep other parameters in a layer's weight's
place. Where their names and shapes leave no doubt, the weight is computed; for all others there is
the call that makes them plain again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor

# What a name in a file tells of, and the call after which it is not there.
_CALLS = (
    (
        re.compile(r"(?:^|\.)parametrizations\.\w+\."),
        "a parametrization",
        'torch.nn.utils.parametrize.remove_parametrizations(layer, "weight")',
    ),
    (
        re.compile(r"(?:^|\.)\w+_u$"),
        "spectral norm",
        "torch.nn.utils.remove_spectral_norm(layer)",
    ),
    (
        re.compile(r"(?:^|\.)\w+_g$"),
        "weight norm",
        "torch.nn.utils.remove_weight_norm(layer)",
    ),
    (
        re.compile(r"(?:^|\.)\w+_mask$"),
        "pruning",
        'torch.nn.utils.prune.remove(layer, "weight")',
    ),
)


def weights(state: Mapping[str, Tensor], own: Collection[str]) -> dict[str, Tensor]:
    """``state`` with the weights of ``own``, a network's names, that it holds in parts.

    - weight norm of ``torch.nn.utils.weight_norm``: g · v / ‖v‖ of ``weight_g`` and ``weight_v``
      (Salimans & Kingma 2016), the norm over all dimensions but that of g.
    - pruning of ``torch.nn.utils.prune``: ``weight_orig`` · ``weight_mask``.
    """
    found = dict(state)
    for name in own:
        if name in state:
            continue
        parts = {part: state.get(f"{name}_{part}") for part in ("g", "v", "orig", "mask", "u")}
        g, v, orig, mask, u = parts.values()
        value = None
        if g is not None and v is not None and orig is None:
            value = _normalised(g, v)
        elif orig is not None and mask is not None and v is None and u is None:
            value = orig * mask if orig.shape == mask.shape else None
        if value is not None:
            used = [f"{name}_{part}" for part, tensor in parts.items() if tensor is not None]
            found = {key: tensor for key, tensor in found.items() if key not in used}
            found[name] = value
    return found


def remedy(names: Iterable[str]) -> str | None:
    """What to call before a state is saved, where ``names`` show that its weights are computed."""
    for name in names:
        for pattern, what, call in _CALLS:
            if pattern.search(name):
                return (
                    f"{name} is of {what}, from which the layer computes its weight: call {call} "
                    "for each such layer before state_dict() is saved"
                )
    return None


def _normalised(g: Tensor, v: Tensor) -> Tensor | None:
    """The weight of weight norm, None for shapes that it does not have."""
    if g.ndim == 0:
        return torch._weight_norm(v.float(), g.float(), -1)
    wide = [place for place, size in enumerate(g.shape) if size > 1]
    # Where all are 1, the norm is over all numbers, whichever dimension it was asked for.
    place = wide[0] if wide else next((p for p, size in enumerate(v.shape) if size == 1), None)
    if g.ndim != v.ndim or len(wide) > 1 or place is None or g.shape[place] != v.shape[place]:
        return None
    return torch._weight_norm(v.float(), g.float(), place)
