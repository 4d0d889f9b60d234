"""What a run leaves behind in the modules of a network, such as a result kept for a picture.

Runs that calibrate are none of the caller's, and a trace runs a network on stand-ins for tensors
(``torch.fx.Proxy``), which nothing can store. So attributes, buffers and training flags of modules
are put back. Parameters, submodules and hooks are not looked at: no forward pass changes them.
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

# Of every module, what holds parameters, submodules and hooks.
_STRUCTURE = vars(nn.Module()).keys() - {"training", "_buffers", "_non_persistent_buffers_set"}

Restore = Callable[[], Any]


@contextmanager
def unchanged(network: nn.Module) -> Iterator[None]:
    """Put the modules of ``network`` back as they were, but for parameters, submodules and hooks.

    Lists, dicts, sets and dataclasses get their contents back, tensors their values. Quantizers of
    inputs are left out: what is calibrated stays calibrated.
    """
    known: dict[int, Any] = {}
    kept = [
        (vars(module), {name: _kept(value, known) for name, value in _attributes(module)})
        for module in network.modules()
        if not isinstance(module, InputQuantizer | torch.jit.ScriptModule)
    ]
    try:
        yield
    finally:
        for attributes, restores in kept:
            for name in attributes.keys() - restores.keys() - _STRUCTURE:
                del attributes[name]
            for name, restore in restores.items():
                attributes[name] = restore()


def copied(network: nn.Module, known: Mapping[int, Any] | None = None) -> nn.Module:
    """A deep copy of ``network``, also where it keeps a tensor that autograd made.

    known: what stands in the copy for objects of the network, by their ``id``.
    """
    memo = dict(known or {})
    for module in network.modules():
        for _, value in _attributes(module):
            for tensor in tensors(value):
                if not tensor.is_leaf:
                    memo[id(tensor)] = tensor.detach().clone()
    return copy.deepcopy(network, memo)


def tensors(value: Any, known: set[int] | None = None) -> Iterator[Tensor]:
    """The tensors in ``value``, which may be one, or hold some in lists, dicts or dataclasses."""
    known = set() if known is None else known
    if id(value) in known:
        return
    known.add(id(value))
    if isinstance(value, Tensor):
        yield value
        return
    held = _held(value)
    for part in held.values() if isinstance(held, dict) else held:
        yield from tensors(part, known)


def _attributes(module: nn.Module) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in vars(module).items() if name not in _STRUCTURE]


def _held(value: Any) -> Any:
    """The container that ``value`` is, or has its fields in; empty where it is none."""
    if isinstance(value, SimpleNamespace) or dataclasses.is_dataclass(type(value)):
        return getattr(value, "__dict__", ())
    return value if isinstance(value, dict | list | set | tuple | deque) else ()


def _kept(value: Any, known: dict[int, Any]) -> Restore:
    """What puts the contents of ``value`` back as they are now, and gives it."""
    if id(value) in known:
        return lambda: value
    known[id(value)] = value  # held, so that nothing else gets its id
    if isinstance(value, Tensor):
        return _kept_tensor(value)
    held = _held(value)
    if isinstance(held, dict):
        items = {key: _kept(part, known) for key, part in held.items()}
    else:
        items = dict(enumerate(_kept(part, known) for part in held))

    def restore() -> Any:
        found = {key: part() for key, part in items.items()}
        if isinstance(held, dict):
            held.clear()
            held.update(found)
        elif not isinstance(held, tuple):
            held.clear()
            (held.update if isinstance(held, set) else held.extend)(found.values())
        return value

    return restore


def _kept_tensor(value: Tensor) -> Restore:
    if isinstance(value, nn.Parameter) or value.layout != torch.strided or value.is_meta:
        return lambda: value
    before = value.detach().clone()

    def restore() -> Tensor:
        now = value.detach()
        if now.shape == before.shape and not torch.equal(now, before):
            now.copy_(before)
        return value

    return restore
