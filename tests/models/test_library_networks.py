"""Networks of torchvision and timm: what is built, for which images, and the messages if that is impossible."""

from typing import Any

import pytest
import torch

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.models import networks
from fakeprint.models.networks.layers import Input, features_of

LIBRARY = [name for name, entry in networks.NETWORKS.items() if not entry.own_layers]
SMALLEST = {"alexnet": 63, "alexnet_rnn": 63, "resnet18": 8, "vit": 16, "vit_pretrained": 16, "backbone": 16}
FAST: dict[str, dict[str, Any]] = {
    "vit": {"dim": 24, "depth": 2},
    "vit_pretrained": {"size": "tiny"},
    "alexnet_rnn": {"hidden": 16, "cell": "gru"},
}
PUBLISHED = {
    "alexnet": 57_024_325,
    "alexnet_rnn": 6_146_373,
    "vgg16": 134_281_029,
    "xception": 20_817_197,
    "resnet18": 11_179_077,
    "densenet121": 6_958_981,
    "vit": 5_525_381,
    "vit_pretrained": 85_802_501,
    "backbone": 3_377_413,
    "timm": 11_179_077,
}


def built(name: str, size: int, options: dict[str, Any] | None = None, **design: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    return networks.build(name, networks.Design(5, size, **design), options or {}).eval()


def message(name: str, size: int = 32, options: dict[str, Any] | None = None, **design: Any) -> str:
    with pytest.raises(InputError) as caught, torch.device("meta"):
        built(name, size, options, **design)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARY)
def test_as_published(name: str) -> None:
    assert networks.summary(name).parameters == networks.summary(name).trained == PUBLISHED[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARY)
def test_logits_of_the_smallest_images(name: str) -> None:
    side = SMALLEST.get(name, 32)
    if name in ("alexnet", "vgg16"):  # drawing their hundred million weights as published takes seconds
        with torch.device("meta"):
            network = built(name, side).to_empty(device="cpu")
        for parameter in network.parameters():
            torch.nn.init.uniform_(parameter, -0.01, 0.01)
    else:
        network = built(name, side, FAST.get(name))
    assert isinstance(network.input, Input)
    logits = network(torch.rand(2, 3, side, side))
    assert logits.shape == (2, 5)
    assert torch.isfinite(logits).all()
    head = sum(p.numel() for p in network.head.parameters())
    assert 0 < head < sum(p.numel() for p in network.parameters())


def test_a_body_is_measured_by_shapes_alone_where_they_are_known() -> None:
    seen: list[str] = []

    class Body(torch.nn.Linear):
        refuses = False

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images.device.type)
            if self.refuses and images.is_meta:
                raise NotImplementedError("not on the meta device")
            return super().forward(images)

    body = Body(8, 3)
    before = body.weight.clone()
    assert features_of(body, networks.Design(5, 8)) == 3 * 8 * 3
    assert seen == ["meta"]
    body.refuses = True
    assert features_of(body, networks.Design(5, 8)) == 3 * 8 * 3
    assert seen == ["meta", "meta", "cpu"]
    assert body.training and torch.equal(body.weight, before)


@pytest.mark.slow
def test_what_reaches_the_last_layer() -> None:
    features = {
        "alexnet": 4096,
        "vgg16": 4096,
        "xception": 2048,
        "resnet18": 512,
        "densenet121": 1024,
        "backbone": 1280,
    }
    with torch.device("meta"):
        assert {name: built(name, 64).head[-1].in_features for name in features} == features


@pytest.mark.slow
def test_dropout_is_where_the_library_has_it_or_before_the_last_layer() -> None:
    with torch.device("meta"):
        for name, places in {"alexnet": 2, "vgg16": 2, "resnet18": 1, "xception": 1, "vit_pretrained": 1}.items():
            dropouts = [layer.p for layer in built(name, 64, dropout=0.3).modules() if type(layer) is torch.nn.Dropout]
            assert [p for p in dropouts if p] == [0.3] * places, name


@pytest.mark.slow
def test_rows_and_columns_are_read_in_order() -> None:
    network = built("alexnet_rnn", 64, FAST["alexnet_rnn"])
    maps = torch.rand(1, 256, 6, 6)
    turned = network.head(maps.transpose(2, 3).flatten(1))
    network.head.rows, network.head.columns = network.head.columns, network.head.rows
    network.head.last[1].weight.data = network.head.last[1].weight.data.roll(16, dims=1)
    torch.testing.assert_close(network.head(maps.flatten(1)), turned)
    assert not torch.allclose(network.head(maps.flip(2).flatten(1)), network.head(maps.flatten(1)))


@pytest.mark.slow
def test_any_name_of_timm() -> None:
    images = torch.rand(2, 3, 64, 64)
    for name in ("convnext_atto", "mixer_s32_224", "test_vit.r160_in1k"):
        assert built("timm", 64, {"architecture": f"timm:{name}"})(images).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("resnet81", r"models.timm.architecture: timm has no network 'resnet81'; did you mean 'resnet\d+'\?"),
        ("zzqqzz", r"models.timm.architecture: timm has no network 'zzqqzz'; `timm.list_models\(\)` lists them"),
        ("resnet18.a1_in2k", r"timm has no weights 'resnet18.a1_in2k'; did you mean 'resnet18.a1_in1k'\?"),
    ],
)
def test_a_name_that_timm_does_not_know(name: str, line: str) -> None:
    with pytest.raises(InputError, match=line):
        built("timm", 32, {"architecture": f"timm:{name}"})


@pytest.mark.slow
def test_images_that_do_not_fit() -> None:
    assert message("densenet121", 24).startswith(
        "prepare.image_size: this network cannot take images of 24 pixels per side"
    )
    for name in ("vit", "vit_pretrained"):
        assert message(name, 100) == (
            f"prepare.image_size: {name} divides images into patches of 16×16 pixels, and 100 is not a multiple of 16; "
            f"set models.{name}.input_size, for example to 96"
        )
    assert built("vit", 100, {**FAST["vit"], "patch": 20})(torch.rand(1, 3, 100, 100)).shape == (1, 5)


@pytest.mark.parametrize(
    ("network", "options", "line"),
    [
        ("vit", {"dim": 100, "heads": 3}, "models.vit: dim, 100, should be a multiple of heads, 3"),
        ("timm", {"architecture": "resnet18"}, r"models.timm.architecture: should be timm:NAME"),
        ("vit_pretrained", {"size": "huge"}, r"models.vit_pretrained.size: input should be 'base', 'small' or 'tiny'"),
        ("vgg16", {"weight": "default"}, r"models.vgg16.weight is not a parameter; did you mean 'weights'\?"),
        ("xception", {"width": 0.5}, "models.xception: width has no effect on a network of torchvision or timm"),
        ("two_cnn", {"kernel": 4}, "models.two_cnn.kernel: input should be 1, 3, 5, 7, 9 or 11, not 4"),
        ("two_cnn", {"out1": 60}, "models.two_cnn.out1: input should be a multiple of 8, not 60"),
    ],
)
def test_options_that_params_refuse(network: str, options: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=line):
        params.validated(params.Models, {network: options}, prefix="models")


def test_its_layers_are_fixed() -> None:
    assert message("resnet18", norm="group") == (
        "models.resnet18.norm has no effect: resnet18 comes from a library, and of `model` it uses only dropout, "
        "normalisation and input_size"
    )
