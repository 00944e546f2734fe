import numpy as np
import pytest

from fakeprint.errors import InputError
from fakeprint.features import size, write_features
from fakeprint.features.files import PARTS, load_features
from fakeprint.features.residual_image import DENOISERS, residual_image
from fakeprint.params import Features, validated
from fakeprint.params.features import ResidualImage


def planes(image, denoiser):
    return residual_image(image, denoiser, "rgb", 0).reshape(3, *image.shape[:2])


@pytest.fixture(scope="module")
def noisy():
    """A smooth scene with noise of 5 grey levels, and that noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    scene = np.stack([90 + y, 200 - x, 60 + (x + y) / 2], axis=2)
    image = np.clip(np.round(scene + rng.normal(0, 5, scene.shape)), 0, 255).astype(np.uint8)
    return image, (image - scene).transpose(2, 0, 1)


def test_a_lone_bright_pixel_by_hand():
    image = np.full((9, 9, 3), 50, dtype=np.uint8)
    image[4, 4, 1] = 58
    by_hand = {
        "median": {(4, 4): 8},
        "right": {(4, 4): -8, (4, 3): 8},
        "down": {(4, 4): -8, (3, 4): 8},
        "laplacian": {(4, 4): -8, (3, 4): 2, (5, 4): 2, (4, 3): 2, (4, 5): 2},
        "square": {
            **{(4, 4): -8, (3, 4): 4, (5, 4): 4, (4, 3): 4, (4, 5): 4},
            **{(3, 3): -2, (3, 5): -2, (5, 3): -2, (5, 5): -2},
        },
    }
    for denoiser, places in by_hand.items():
        expected = np.zeros((3, 9, 9))
        for place, value in places.items():
            expected[(1, *place)] = value
        np.testing.assert_array_equal(planes(image, denoiser), expected, err_msg=denoiser)


@pytest.mark.parametrize("denoiser", DENOISERS)
def test_numbers_are_those_that_float16_holds(denoiser):
    image = np.random.default_rng(1).choice([0, 255], (20, 24, 3)).astype(np.uint8)
    residual = residual_image(image, denoiser, "rgb", 0)
    assert residual.shape == (3 * 20 * 24,) and residual.dtype == np.float32
    np.testing.assert_array_equal(residual.astype(np.float16), residual)
    grey = residual_image(image, denoiser, "grey", 0)
    np.testing.assert_allclose(grey, residual.reshape(3, -1).mean(axis=0), atol=0.2)


@pytest.mark.parametrize("denoiser", DENOISERS)
def test_nothing_is_left_of_one_colour(denoiser):
    image = np.full((21, 21, 3), (10, 128, 255), dtype=np.uint8)
    np.testing.assert_allclose(residual_image(image, denoiser, "rgb", 0), 0, atol=1e-3)


def test_filters_are_those_of_trace_net():
    import torch

    from fakeprint.models.networks.trace_net import HighPass

    image = (100 + np.random.default_rng(2).integers(0, 4, (16, 20, 3))).astype(np.uint8)
    filtered = HighPass()(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)[0].numpy() * HighPass.LIMIT
    for number, denoiser in enumerate(("right", "down", "square")):
        found = planes(image, denoiser)
        assert np.abs(found).max() < HighPass.LIMIT
        np.testing.assert_allclose(found, filtered.reshape(3, 3, 16, 20)[:, number], atol=1e-4)


@pytest.mark.parametrize(("denoiser", "least"), [("median", 0.7), ("wavelet", 0.9)])
def test_a_denoiser_takes_the_noise_and_leaves_the_scene(denoiser, least, noisy):
    image, noise = noisy
    residual = planes(image, denoiser)
    assert np.corrcoef(residual[:, 4:-4, 4:-4].ravel(), noise[:, 4:-4, 4:-4].ravel())[0, 1] > least


def test_the_wavelet_denoiser_keeps_edges_out_of_the_residual():
    image = np.full((64, 64, 3), 60, dtype=np.uint8)
    image[:, 32:] = 200
    assert np.abs(planes(image, "wavelet")).max() < 0.05 * 140


@pytest.mark.parametrize("side", [16, 33])
def test_small_and_odd_images_have_a_residual_at_every_pixel(side):
    image = np.random.default_rng(3).integers(0, 256, (side, side, 3), dtype=np.uint8)
    for denoiser in DENOISERS:
        assert residual_image(image, denoiser, "rgb", 0).shape == (3 * side**2,)


def test_rows_are_stored_in_half_the_bytes_and_come_back_exactly(tmp_path, noisy):
    options = {"denoiser": "wavelet", "channels": "rgb", "border": 4}
    images = np.stack([noisy[0], noisy[0][::-1]])
    write_features("residual_image", options, dict.fromkeys(PARTS, images), 1, tmp_path)
    stored = np.load(tmp_path / "residual_image/train.npy", mmap_mode="r")
    assert stored.dtype == np.float16 and stored.shape == (2, size("residual_image", options, images.shape[1:]))
    rows = load_features(["residual_image"], "train", tmp_path).whole()
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, np.stack([residual_image(image, **options) for image in images]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"denoiser": "gauss", "channels": "rgb", "border": 0},
            "denoiser: input should be 'median', 'wavelet', 'right', 'down', 'square' or 'laplacian', not 'gauss'",
        ),
        (
            {"denoiser": "median", "channels": "hsv", "border": 0},
            "channels: input should be 'rgb' or 'grey', not 'hsv'",
        ),
        (
            {"denoiser": "median", "channels": "rgb", "border": -1},
            "border: input should be greater than or equal to 0, not -1",
        ),
        ({"denoiser": "median", "channel": "rgb", "border": 0}, "channel is not a parameter; did you mean 'channels'?"),
    ],
)
def test_wrong_options_are_one_line(options, message):
    with pytest.raises(InputError, match=r"^features\.residual_image\.") as error:
        validated(Features, {"residual_image": options}, prefix="features", name="")
    assert str(error.value).startswith(f"features.residual_image.{message}")
    assert "\n" not in str(error.value)
    assert ResidualImage(denoiser="median", channels="grey", border=0).channels == "grey"


def test_the_border_is_cut_off_after_denoising():
    image = np.random.default_rng(4).integers(0, 256, (20, 22, 3), dtype=np.uint8)
    for denoiser in DENOISERS:
        cut = residual_image(image, denoiser, "rgb", 3).reshape(3, 14, 16)
        np.testing.assert_array_equal(cut, planes(image, denoiser)[:, 3:-3, 3:-3])
    message = r"^features\.residual_image\.border: 7 pixels leave too little of images of 22×20 pixels; at most 6$"
    with pytest.raises(InputError, match=message):
        residual_image(image, "median", "rgb", 7)
    assert len(residual_image(image, "median", "grey", 6)) == 8 * 10
