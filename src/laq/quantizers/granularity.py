"""Which weights of a layer share a scale: all of it, filters, groups of filters, or of inputs.

A weight (N, d) is cut into blocks of ``rows`` filters and ``columns`` inputs, the last ones maybe
smaller. ``Blocks.split`` gives the blocks as rows of a matrix. ``Blocks.scales`` brings what was
chosen for each block into the shape (R, B) of the scales in ``laq.quantizers.grids``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from laq.utils.errors import ConfigError

Kind = Literal["per_tensor", "per_channel", "per_channel_group", "per_group"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True)
class Blocks:
    """Blocks of ``rows`` filters and ``columns`` inputs of a weight; all of them where None."""

    rows: int | None = None
    columns: int | None = None

    @classmethod
    def of(cls, kind: Kind, group: int | None = None) -> Blocks:
        """The blocks of a granularity.

        ``per_tensor``: the layer. ``per_channel``: each channel (filter). ``per_channel_group``:
        ``group`` consecutive channels. ``per_group``: ``group`` consecutive inputs of a channel.

        Raises ``ConfigError`` for an unknown kind and for a group that is missing or below 1.
        """
        if kind not in KINDS:
            raise ConfigError(f"granularity {kind!r} is unknown: choose {', '.join(KINDS)}")
        if kind in ("per_channel_group", "per_group") and (group is None or group < 1):
            raise ConfigError(f"group is {group}: granularity {kind} takes a number from 1 on")
        rows = {"per_tensor": None, "per_channel_group": group}.get(kind, 1)
        return cls(rows, group if kind == "per_group" else None)

    def split(self, weight: Tensor) -> Tensor:
        """Weights (N, d) as blocks (R·B, rows·columns), row-major, padded with NaN."""
        rows, columns = self.rows or weight.shape[0], self.columns or weight.shape[1]
        missing = (-weight.shape[1] % columns, -weight.shape[0] % rows)
        padded = weight
        if any(missing):
            pads = (0, missing[0], 0, missing[1])
            padded = torch.nn.functional.pad(weight, pads, value=torch.nan)
        # (R, rows, B, columns)
        blocks = padded.unflatten(0, (-1, rows)).unflatten(2, (-1, columns))
        return blocks.transpose(1, 2).flatten(2).flatten(0, 1)

    def scales(self, chosen: Tensor, shape: tuple[int, int]) -> Tensor:
        """What was chosen for the blocks (R·B,) of weights (N, d), as scales () or (R, B)."""
        if self.rows is None:
            return chosen.reshape(())
        return chosen.view(-(-shape[0] // self.rows), -1)
