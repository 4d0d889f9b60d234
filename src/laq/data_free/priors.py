"""What images look like that no statistics tell: smooth, and not far from grey.

Both are those of Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting
Them", CVPR 2015, as DeepInversion (Yin et al., CVPR 2020) takes them.
"""

from __future__ import annotations

from torch import Tensor


def variation(images: Tensor) -> Tensor:
    """Total variation of ``images`` (n, c, h, w): mean squared step to the next pixel, ()."""
    across = (images[..., 1:] - images[..., :-1]).square().mean()
    down = (images[..., 1:, :] - images[..., :-1, :]).square().mean()
    return across + down


def norm(images: Tensor) -> Tensor:
    """Mean squared distance of ``images`` in [0, 1] from middle grey, ()."""
    return (images - 0.5).square().mean()
