"""Networks that are built without drawing their weights: once weights are loaded, they are as if these were drawn."""

from typing import Any

import pytest
import torch

from fakeprint.models import networks
from fakeprint.models.network_files import SkipInitialisation
from tests.models.test_library_networks import FAST, SMALLEST

LARGE = ("alexnet", "vgg16")  # to draw their hundred million weights takes seconds
OPTIONS: dict[str, dict[str, Any]] = {**FAST, "timm": {"architecture": "timm:convnext_atto"}}


@pytest.mark.slow
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_with_weights_it_answers_the_same(name: str) -> None:
    side = {**SMALLEST, "four_cnn": 46}.get(name, 32)
    design = networks.Design(5, side, normalisation="imagenet")

    def build() -> torch.nn.Module:
        return networks.build(name, design, OPTIONS.get(name, {}), pretrained=False).eval()

    with SkipInitialisation():
        undrawn = build()
    if name in LARGE:
        with SkipInitialisation():
            drawn = build()
        for parameter in drawn.parameters():
            torch.nn.init.uniform_(parameter, -0.01, 0.01)
    else:
        drawn = build()
    for parameter in undrawn.parameters():
        torch.nn.init.constant_(parameter, torch.nan)
    undrawn.load_state_dict(drawn.state_dict())
    for named in ("named_parameters", "named_buffers"):  # buffers: those that are in no file too
        expected = dict(getattr(drawn, named)())
        for key, tensor in getattr(undrawn, named)():
            assert torch.equal(tensor, expected[key]), key
    images = torch.rand(2, 3, side, side)
    with torch.inference_mode():
        logits = undrawn(images)
        assert torch.isfinite(logits).all()
        assert torch.equal(logits, drawn(images))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hist_cnn", "resnet18", "vit", "backbone"])
def test_no_weight_is_filled(name: str) -> None:
    with SkipInitialisation():
        network = networks.build(name, networks.Design(5, 32), OPTIONS.get(name, {}), pretrained=False)
    changed = [key for key, parameter in network.named_parameters() if parameter._version]  # in place
    assert changed == []
