"""GPU code, checked without a GPU: every tensor is created on the device of the images.

Fake tensors have shape, type and device but no values; torch refuses operations across devices.
"""

from typing import get_args

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from fakeprint import params
from fakeprint.augment import drawing, on_device
from fakeprint.augment.on_device import batch as device_batches
from fakeprint.augment.on_device import compression
from fakeprint.models import networks
from fakeprint.training import device
from fakeprint.training.losses import Criterion
from fakeprint.training.mixing import mixed
from tests.samples import DEMO

pytestmark = pytest.mark.skipif(torch.version.cuda is None, reason="this torch was built without CUDA")
OWN = [name for name, entry in networks.NETWORKS.items() if entry.own_layers]
INTERPOLATIONS, FILLS = get_args(params.Interpolation), get_args(params.Fill)
LARGER = {"four_cnn": 64}  # 32 for the others


def test_a_mix_of_devices_is_found() -> None:
    with FakeTensorMode(), pytest.raises(RuntimeError, match=r"device.*cpu"):
        torch.zeros(2, device="cuda") + torch.zeros(2)


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_networks_mixes_and_losses_stay_on_the_gpu(name: str) -> None:
    size = LARGER.get(name, 32)
    statistics = {"channel_mean": (0.5, 0.4, 0.3), "channel_std": (0.2, 0.2, 0.1)}
    design = networks.Design(5, size, normalisation="dataset", **statistics)
    with FakeTensorMode():
        with torch.device("cuda"):
            network = networks.build(name, design, {})
            images, labels = torch.rand(4, 3, size, size), torch.zeros(4, dtype=torch.int64)
            weights = torch.ones(5)
        for changed in (network, device.with_repeatable_pools(network)):
            for mix in (("mixup", 0.3, 0.5, 0.5), ("cutmix", 0.3, 0.5, 0.5), None):
                inputs, targets = mixed(images, labels, mix)
                logits = changed.train()(inputs)
                loss = Criterion(smoothing=0.1, gamma=2.0, weights=weights)(logits, targets)
                hinge = Criterion(weights=weights, hinge=True)(logits, targets)
                made = (logits, loss, hinge, targets.hits(logits))
                assert {tensor.device.type for tensor in made} == {"cuda"}


@pytest.mark.slow
def test_augmentation_stays_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = params.load(DEMO).train.transforms.model_dump()
    for name, transform in everything.items():
        transform.update(enabled=name != "webp", p=1.0)
    chosen = params.Transforms(**everything)
    warps = [drawing.Warp(interpolation, fill) for interpolation in INTERPOLATIONS for fill in FILLS]
    numbers = drawing.uniforms(4, 7, "gpu", 1)
    mirrored = drawing.Step("flip", np.array([4]), np.empty((1, 0)))  # the others are warped
    monkeypatch.setattr(compression, "_cosines", compression._cosines.__wrapped__)  # no fake tensor stays in its cache
    operations = set()
    for warp in warps:
        steps = [mirrored, *drawing.steps(drawing.Augmentation(chosen, False, warp), numbers)]
        batch = on_device.pack_steps(steps, warp, 5, 32, 32)
        operations |= {operation for operation, _, _ in batch.groups}
        with FakeTensorMode():
            packed = torch.zeros(batch.packed.shape, dtype=torch.int32, device="cuda")
            # pinning memory needs a driver
            monkeypatch.setattr(device_batches, "copy_to_device", lambda tensor, to, packed=packed: packed)
            images = torch.zeros(5, 32, 32, 3, dtype=torch.uint8, device="cuda")
            augmented = on_device.apply_batch(images, batch)
        assert (augmented.device.type, augmented.shape, augmented.dtype) == ("cuda", (5, 32, 32, 3), torch.uint8)
    assert operations == set(device_batches.OPERATIONS)
