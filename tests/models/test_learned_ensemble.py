"""The learned ensemble's head: its size, and the blend of weighted average and meta head."""

import pytest
import torch

from fakeprint.models.ensembles.learned import EnsembleHead


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_published_size() -> None:
    head = EnsembleHead(2, 5)
    assert parameters(head) == 727
    assert [parameters(layer) for layer in head.weights] == [176, 0, 34]
    assert [parameters(layer) for layer in head.meta] == [352, 0, 0, 165]


@pytest.mark.parametrize("members", [1, 2, 4])
def test_probabilities(members: int) -> None:
    torch.manual_seed(0)
    of_members = torch.rand(6, members, 3).softmax(2)
    head = EnsembleHead(members, 3).eval()
    torch.testing.assert_close(head(of_members).sum(1), torch.ones(6))
    torch.testing.assert_close(head.member_weights(of_members).sum(1), torch.ones(6))


def test_the_meta_head_is_heard_as_far_as_the_members_are_unsure() -> None:
    head = EnsembleHead(2, 5).eval()
    sure = torch.eye(5)[:2].unsqueeze(1).expand(2, 2, 5)
    torch.testing.assert_close(head(sure), torch.eye(5)[:2])
    unsure = torch.full((1, 2, 5), 0.2)
    meta = head.meta(unsure.flatten(1)).softmax(1)
    torch.testing.assert_close(head(unsure), 0.2 * 0.2 + 0.8 * meta)
