"""Mixup and CutMix: which pixels and labels come from where."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fakeprint.training.mixing import Mix, Mixing, mixed

IMAGES = torch.arange(3.0)[:, None, None, None].expand(3, 3, 8, 8) * 1.0  # image i is filled with i
LABELS = torch.tensor([0, 1, 2])


class Rolled(TorchDispatchMode):
    """Records the number of dimensions of each rolled tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.dimensions: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.name().startswith("aten::roll"):
            self.dimensions.append(args[0].dim())
        return func(*args, **(kwargs or {}))


def drawn(batches: int = 400, seed: int = 7, epoch: int = 1, **options: float) -> list[Mix | None]:
    return list(Mixing(**options).draw(batches, seed, "train/x", epoch))


def test_mixup_takes_its_share_of_each_image_and_the_rest_of_its_neighbour() -> None:
    images, targets = mixed(IMAGES, LABELS, ("mixup", 0.75, 0.0, 0.0))
    assert images[:, 0, 0, 0].tolist() == [0.25 * 2, 0.75 * 1, 0.75 * 2 + 0.25 * 1]
    assert targets.others is not None
    assert (targets.labels.tolist(), targets.others.tolist(), targets.share) == ([0, 1, 2], [2, 0, 1], 0.75)


def test_cutmix_pastes_a_box_and_shares_by_its_area() -> None:
    # Half of each side: 4 × 4 pixels around row 4, column 2.
    images, targets = mixed(IMAGES, LABELS, ("cutmix", 0.75, 0.25, 0.5))
    expected = torch.full((8, 8), 1.0)
    expected[2:6, 0:4] = 0.0
    assert torch.equal(images[1], expected.expand(3, 8, 8))
    assert targets.share == 1 - 16 / 64
    assert torch.equal(IMAGES[1], torch.ones(3, 8, 8))


@pytest.mark.parametrize("mix", [("mixup", 0.3, 0.5, 0.5), ("cutmix", 0.3, 0.5, 0.5)])
def test_a_mixed_batch_keeps_its_memory_layout(mix: Mix) -> None:
    channels_last = torch.rand(4, 5, 6, 3).permute(0, 3, 1, 2)
    assert channels_last.is_contiguous(memory_format=torch.channels_last)
    with Rolled() as rolled:
        images, _ = mixed(channels_last, LABELS.repeat(2)[:4], mix)
    assert images.stride() == channels_last.stride()
    assert rolled.dimensions == [1], "torch's roll changes the layout on a GPU: only labels may be rolled"


def test_a_box_over_the_border_is_cut_and_counts_as_what_is_left() -> None:
    images, targets = mixed(IMAGES, LABELS, ("cutmix", 0.75, 0.0, 0.0))
    assert (images[1] == 0).sum() == 3 * 2 * 2
    assert targets.share == 1 - 4 / 64


def test_nothing_is_mixed_by_default() -> None:
    assert drawn(3) == [None] * 3
    images, targets = mixed(IMAGES, LABELS, None)
    assert images is IMAGES and targets.others is None


def test_share_of_the_batches_and_of_the_kinds() -> None:
    both = drawn(mixup=0.2, cutmix=1.0, p=0.5)
    kinds = [mix[0] for mix in both if mix]
    assert len(kinds) / 400 == pytest.approx(0.5, abs=0.1)
    assert kinds.count("mixup") / len(kinds) == pytest.approx(0.5, abs=0.1)
    assert {mix[0] for mix in drawn(mixup=0.2) if mix} == {"mixup"}
    shares = [mix[1] for mix in drawn(cutmix=1.0) if mix]
    assert sum(share < 0.25 for share in shares) / len(shares) == pytest.approx(0.25, abs=0.1)  # Beta(1, 1) is uniform


def test_draws_depend_on_seed_epoch_and_batch_alone() -> None:
    assert drawn(5, mixup=1.0) == drawn(8, mixup=1.0)[:5]
    assert drawn(5, mixup=1.0) != drawn(5, mixup=1.0, epoch=2)
    assert drawn(5, mixup=1.0) != drawn(5, mixup=1.0, seed=8)
