"""Scores against counting by hand and against scikit-learn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from laq.experiments.evaluation import Score, score
from laq.utils.errors import DataError

torch.set_num_threads(1)


def counted(logits: Tensor, labels: Tensor, subset: list[int], candidates: list[int]) -> tuple:
    """n, correct, correct5 and inside, one image at a time; ties go to the lower class."""
    correct = correct5 = inside = 0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        ranked = sorted(candidates, key=lambda index: (-row[index], index))
        correct += ranked[0] == label
        correct5 += label in ranked[:5]
        inside += ranked[0] in subset
    return len(labels), correct, correct5, inside


@settings(deadline=None)
@given(data=st.data(), classes=st.integers(2, 12), n=st.integers(1, 12))
def test_counts_are_those_of_a_loop_with_ties(data, classes, n):
    subset = data.draw(st.lists(st.integers(0, classes - 1), min_size=1, unique=True))
    values = st.lists(st.integers(-2, 2), min_size=classes, max_size=classes)
    logits = torch.tensor(data.draw(st.lists(values, min_size=n, max_size=n))).float()
    labels = torch.tensor(data.draw(st.lists(st.sampled_from(subset), min_size=n, max_size=n)))
    for result, scope, candidates in zip(
        score(logits, labels, subset), ("all", "subset"), (range(classes), subset), strict=True
    ):
        expected = counted(logits, labels, subset, list(candidates))
        assert result.scope == scope
        n_expected, correct, correct5, inside = expected
        assert (result.n, result.correct, result.in_subset) == (n_expected, correct, inside)
        assert result.top1 == correct / n
        # Among five classes or fewer everything is among the five best.
        told = len(candidates) > 5
        assert result.correct5 == (correct5 if told else None)
        assert result.top5 == (correct5 / n if told else None)


def test_rates_are_those_of_scikit_learn():
    from sklearn.metrics import top_k_accuracy_score

    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 20, generator=generator)
    subset = [1, 3, 4, 8, 11, 12, 17, 19]
    labels = torch.tensor(subset)[torch.randint(8, (200,), generator=generator)]
    logits[torch.arange(200), labels] += 1
    everything, restricted = score(logits, labels, subset)
    for k, over_all, over_subset in [
        (1, everything.top1, restricted.top1),
        (5, everything.top5, restricted.top5),
    ]:
        assert over_all == pytest.approx(
            top_k_accuracy_score(labels, logits, k=k, labels=range(20))
        )
        assert over_subset == pytest.approx(
            top_k_accuracy_score(labels, logits[:, subset], k=k, labels=subset)
        )
    assert 0.1 < everything.top1 < restricted.top1 < restricted.top5 < 1


def test_the_subset_scope_never_predicts_another_class():
    logits = torch.tensor([[9.0, 1.0, -5.0], [9.0, -5.0, 1.0]])
    everything, restricted = score(logits, torch.tensor([1, 1]), [2, 1])
    assert everything == Score("all", 2, 0, None, 0, 0.0, None)
    assert restricted == Score("subset", 2, 1, None, 2, 0.5, None)
    assert logits.max() == 9  # the caller's logits are not masked


def test_ties_of_many_classes_go_to_the_lowest():
    everything, restricted = score(torch.zeros(1, 50), torch.tensor([7]), [7, 30])
    assert (everything.correct, everything.correct5, everything.in_subset) == (0, 0, 0)
    assert (restricted.correct, restricted.in_subset) == (1, 1)


@pytest.mark.parametrize("labels", [[0, 3], []])
def test_images_of_other_classes_or_none_are_refused(labels):
    labels = torch.tensor(labels, dtype=torch.int64)
    with pytest.raises(DataError, match="images of the subset's classes, and at least one"):
        score(torch.zeros(len(labels), 4), labels, [0, 1])
