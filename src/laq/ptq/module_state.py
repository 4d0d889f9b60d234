"""State that a run leaves in the modules of a network, such as a result kept for a plot.

Runs for calibration must not change the caller's network, and a trace runs a network on stand-ins
for tensors (``torch.fx.Proxy``), which nothing can store. So attributes, buffers and training flags
of modules are restored. Parameters, submodules and hooks are not: no forward pass changes them.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from laq.ptq.activation_quantizer import InputQuantizer

# Attributes of every module that hold parameters, submodules and hooks.
_STRUCTURE = vars(nn.Module()).keys() - {"training", "_buffers", "_non_persistent_buffers_set"}

Restore = Callable[[], Any]


@contextmanager
def unchanged(network: nn.Module) -> Iterator[None]:
    """Restore the modules of ``network`` at the end, but for parameters, submodules and hooks.

    Lists, dicts, sets and dataclasses get their contents back, tensors their values. Quantizers of
    inputs are left out: they stay calibrated.
    """
    memo: dict[int, Any] = {}
    saved = [
        (vars(module), {name: _kept(value, memo) for name, value in _attributes(module)})
        for module in network.modules()
        if not isinstance(module, InputQuantizer | torch.jit.ScriptModule)
    ]
    try:
        yield
    finally:
        for attributes, restores in saved:
            for name in attributes.keys() - restores.keys() - _STRUCTURE:
                del attributes[name]
            for name, restore in restores.items():
                attributes[name] = restore()


def copied(network: nn.Module, known: Mapping[int, Any] | None = None) -> nn.Module:
    """A deep copy of ``network``, also where it keeps a tensor that autograd made.

    known: replacements, in the copy, of objects of the network, by their ``id``.
    """
    memo = dict(known or {})
    for module in network.modules():
        for _, value in _attributes(module):
            for tensor in tensors(value):
                if not tensor.is_leaf:
                    memo[id(tensor)] = tensor.detach().clone()
    return copy.deepcopy(network, memo)


def tensors(value: Any, known: set[int] | None = None) -> Iterator[Tensor]:
    """The tensors in ``value``: a tensor, or a list, dict or dataclass that holds some."""
    known = set() if known is None else known
    if id(value) in known:
        return
    known.add(id(value))
    if isinstance(value, Tensor):
        yield value
        return
    contents = _held(value)
    for element in contents.values() if isinstance(contents, dict) else contents:
        yield from tensors(element, known)


def _attributes(module: nn.Module) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in vars(module).items() if name not in _STRUCTURE]


def _held(value: Any) -> Any:
    """``value`` as a container, or the dict of its fields; empty where it is neither."""
    if isinstance(value, SimpleNamespace) or dataclasses.is_dataclass(type(value)):
        return getattr(value, "__dict__", ())
    return value if isinstance(value, dict | list | set | tuple | deque) else ()


def _kept(value: Any, known: dict[int, Any]) -> Restore:
    """A function that restores the present contents of ``value``, and returns it."""
    if id(value) in known:
        return lambda: value
    known[id(value)] = value  # held, so that nothing else gets its id
    if isinstance(value, Tensor):
        return _kept_tensor(value)
    contents = _held(value)
    if isinstance(contents, dict):
        items = {key: _kept(element, known) for key, element in contents.items()}
    else:
        items = dict(enumerate(_kept(element, known) for element in contents))

    def restore() -> Any:
        values = {key: element() for key, element in items.items()}
        if isinstance(contents, dict):
            contents.clear()
            contents.update(values)
        elif not isinstance(contents, tuple):
            contents.clear()
            (contents.update if isinstance(contents, set) else contents.extend)(values.values())
        return value

    return restore


def _kept_tensor(value: Tensor) -> Restore:
    if isinstance(value, nn.Parameter) or value.layout != torch.strided or value.is_meta:
        return lambda: value
    saved = value.detach().clone()

    def restore() -> Tensor:
        current = value.detach()
        if current.shape == saved.shape and not torch.equal(current, saved):
            current.copy_(saved)
        return value

    return restore
