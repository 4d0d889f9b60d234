"""What a training keeps to beside its loss reaches every step, and no other training."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from laq.training import constraints, finetune, train
from laq.training.constraints import Constraint, Progress
from laq.utils.devices import seed_everything
from tests.unit.test_training import CPU, SETTINGS, problem

torch.set_num_threads(1)


def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 2))


def run(constraint: Constraint | None, function=train, **changes):
    generator = seed_everything(0)
    model = network()
    settings = SETTINGS | {"epochs": 2} | changes
    function(model, problem(40), problem(20, 1), settings, generator, CPU, constraint=constraint)
    return model.state_dict()


@dataclass(frozen=True)
class Decay(Constraint):
    """The penalty that weight decay of SGD is the gradient of."""

    strength: float

    def penalty(self, network: nn.Module, progress: Progress) -> Tensor:
        return self.strength / 2 * sum(p.square().sum() for p in network.parameters())


@dataclass(frozen=True)
class Mask(Constraint):
    """Keeps every other weight at zero, as training after pruning does; notes its progress."""

    seen: ClassVar[list[Progress]] = []

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        assert not torch.is_grad_enabled()
        self.seen.append(progress)
        for parameter in network.parameters():
            parameter.view(-1)[::2] = 0


@dataclass(frozen=True)
class Slow(Constraint):
    """A rate of their own for the parameters of the last layer."""

    share: float
    decay: float = 0.0

    def groups(self, network: nn.Module) -> list[constraints.Group]:
        own = list(network[-1].parameters())
        return [{"params": own, "weight_decay": self.decay, "share": self.share}]


@pytest.mark.parametrize("function", [train, finetune])
def test_a_constraint_that_asks_nothing_changes_no_bit(function):
    settings = {"decay_norms": False} if function is finetune else {}
    free, kept = (run(c, function, **settings) for c in (None, Constraint()))
    assert all(torch.equal(free[name], kept[name]) for name in free)


def test_a_penalty_is_part_of_the_loss():
    decayed = run(None, weight_decay=0.02)
    penalized = run(Decay(0.02), weight_decay=0.0)
    plain = run(None, weight_decay=0.0)
    for name, value in penalized.items():
        torch.testing.assert_close(value, decayed[name], rtol=1e-5, atol=1e-6)
        assert not torch.allclose(value, plain[name], rtol=1e-5, atol=1e-6)


def test_what_is_done_after_every_step_holds_at_the_end():
    Mask.seen.clear()
    state = run(Mask(), batch_size=10)
    assert Mask.seen == [Progress(done, 8) for done in range(1, 9)]
    assert Mask.seen[-1].share == 1
    for value in state.values():
        assert not value.view(-1)[::2].any()
        assert value.view(-1)[1::2].all()


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
@pytest.mark.parametrize("decay_norms", [True, False])
def test_parameters_of_a_group_have_a_rate_and_a_decay_of_their_own(schedule, decay_norms):
    settings = {"schedule": schedule, "decay_norms": decay_norms, "weight_decay": 0.5}
    torch.manual_seed(seed_everything(0).initial_seed())
    start = network().state_dict()
    still = run(Slow(0.0), **settings)
    for name, value in start.items():
        assert torch.equal(still[name], value) == name.startswith("3."), name
    # With the rate and the decay of the others it is one group among equals.
    same = run(Slow(1.0, 0.5), **(settings | {"decay_norms": True}))
    whole = run(None, **(settings | {"decay_norms": True}))
    assert all(torch.equal(same[name], whole[name]) for name in whole)


def test_a_constraint_is_made_anew_from_its_description():
    made = constraints.create(Slow(0.25, 0.1).description)
    assert made == Slow(0.25, 0.1)
    assert constraints.create(None) == constraints.create(Constraint().description) == Constraint()
    for kind in ("torch.nn:Linear", "laq.training.constraints:dataclass"):
        with pytest.raises(ValueError, match="is no constraint"):
            constraints.create({"kind": kind})


def test_constraints_of_other_settings_are_other_trainings():
    from laq.training import TRAINING, resume

    def identity(constraint: Constraint | None) -> bytes:
        generator = seed_everything(0)
        model = copy.deepcopy(network())
        return resume.identity(model, problem(4), problem(2), TRAINING, generator, CPU, constraint)

    kept = [None, Decay(0.1), Decay(0.2), Slow(0.1), Slow(0.1, 0.1)]
    assert len({identity(constraint) for constraint in kept}) == len(kept)
    assert identity(Decay(0.1)) == identity(Decay(0.1))
