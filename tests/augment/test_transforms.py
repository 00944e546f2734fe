import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from fakeprint import params, seeds
from fakeprint.augment import drawing, transforms
from fakeprint.augment.drawing import Augmentation, Plan, Warp
from fakeprint.augment.transforms import apply
from tests.samples import DEMO

OFF = {name: {**block, "enabled": False} for name, block in params.load(DEMO).augment.transforms.model_dump().items()}
IDENTITY = {
    "rotation": {"degrees": (0, 0)},
    "shift": {"fraction": (0, 0)},
    "zoom": {"factor": (1, 1)},
    "crop": {"fraction": (1, 1)},
    "brightness": {"factor": (1, 1)},
    "contrast": {"factor": (1, 1)},
    "saturation": {"factor": (1, 1)},
    "hue": {"degrees": (0, 0)},
    "blur": {"sigma": (0, 0)},
    "noise": {"sigma": (0, 0)},
    "rescale": {"factor": (1, 1)},
}
IMAGES = arrays(np.uint8, st.tuples(st.integers(8, 24), st.integers(8, 24), st.just(3)))
NOISE = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)


def planned(
    chosen: params.Transforms, one_degradation: bool, numbers: np.ndarray, second_degradation: float = 0.0
) -> list[Plan]:
    return drawing.plans(Augmentation(chosen, one_degradation, second_degradation=second_degradation), numbers)


def one(seed: int) -> np.ndarray:
    """The uniform numbers of one image."""
    return np.random.default_rng(seed).random((1, drawing.DRAWS))


def settings(**blocks: dict) -> params.Transforms:
    """Every transform off, but those given: on, with p = 1."""
    on = {name: {**OFF[name], "enabled": True, "p": 1.0, **block} for name, block in blocks.items()}
    return params.Transforms.model_validate({**OFF, **on})


def done(image: np.ndarray, *steps: tuple) -> np.ndarray:
    return apply(image, Plan(tuple((name, values) for name, *values in steps)))


def uniform(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((8, 8, 3), colour, np.uint8)


def test_flip_is_numpys() -> None:
    assert np.array_equal(done(NOISE, ("flip",)), NOISE[:, ::-1])


@pytest.mark.parametrize(("right", "down"), [(3, 2), (-3, 2), (3, -2), (-1, 0), (0, 5)])
def test_shift_moves_whole_pixels_and_mirrors_the_border(right: int, down: int) -> None:
    shifted = done(NOISE, ("shift", right / 20, down / 16))
    padded = np.pad(NOISE, [(8, 8), (8, 8), (0, 0)], mode="reflect")
    assert np.array_equal(shifted, padded[8 - down : 24 - down, 8 - right : 28 - right])


@pytest.mark.parametrize(("fill", "mode"), [("edge", "edge"), ("black", "constant")])
def test_the_fill_of_a_shift_can_be_chosen(fill: str, mode: str) -> None:
    shifted = apply(NOISE, Plan((("shift", (3 / 20, -2 / 16)),), Warp(fill=fill)))
    padded = np.pad(NOISE, [(8, 8), (8, 8), (0, 0)], mode=mode)
    assert np.array_equal(shifted, padded[10:26, 5:25])


def test_nearest_and_black_is_the_rotation_of_torchvision() -> None:
    # RandomRotation of a PIL image is PIL's own rotation, by default the nearest pixel and black beyond the border.
    rng = np.random.default_rng(3)
    image = rng.integers(1, 256, (100, 100, 3), dtype=np.uint8)
    for degrees in (-15.0, -4.2, 7.3, 15.0):
        turned = apply(image, Plan((("rotation", (degrees,)),), Warp("nearest", "black")))
        pillows = np.asarray(Image.fromarray(image).rotate(degrees, Image.Resampling.NEAREST, fillcolor=(0, 0, 0)))
        assert (turned == pillows).all(2).mean() > 0.995  # places halfway between two pixels
        assert (pillows == 0).any()
        ours = apply(image, Plan((("rotation", (degrees,)),)))
        assert (ours == pillows).all(2).mean() < 0.05, "by default it is another one"


def test_bilinear_is_halfway_between_pixels() -> None:
    image = np.zeros((9, 9, 3), np.uint8)
    image[:, 5:] = 200
    # Scaled to twice about the centre, column 4: what was columns 4 and 5 becomes every half column.
    zoomed = apply(image, Plan((("zoom", (2.0,)),), Warp("bilinear")))
    assert zoomed[4, 3:8, 0].tolist() == [0, 0, 100, 200, 200]


def test_flip_then_shift_interpolates_nothing() -> None:
    both = done(NOISE, ("flip",), ("shift", 0.1, 0.0))
    assert np.array_equal(both[:, 2:], NOISE[:, ::-1][:, :-2])


def test_geometric_transforms_are_one_warp() -> None:
    there_and_back = done(NOISE, ("rotation", 0.0), ("zoom", 2.0), ("crop", 1.0, 0.0, 0.0), ("zoom", 0.5))
    assert np.array_equal(there_and_back, NOISE)


def test_rotation_by_a_half_turn_and_a_quarter_counter_clockwise() -> None:
    square = NOISE[:, :16]
    assert np.array_equal(done(square, ("rotation", 180.0)), square[::-1, ::-1])
    assert np.array_equal(done(square, ("rotation", 90.0)), np.rot90(square))


def test_zoom_enlarges_about_the_centre() -> None:
    image = np.zeros((33, 33, 3), np.uint8)
    image[12:21, 12:21] = 255
    zoomed = done(image, ("zoom", 2.0))[..., 0] > 150  # the outermost ring is halfway between
    assert zoomed[8:25, 8:25].all() and zoomed.sum() == 17 * 17


def test_crop_keeps_the_chosen_corner() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[:16, 16:] = 200
    assert (done(image, ("crop", 0.5, 1.0, 0.0))[4:-4, 4:-4] == 200).all()
    assert (done(image, ("crop", 0.5, 0.0, 1.0))[4:-4, 4:-4] == 0).all()


def test_brightness_multiplies_and_clips() -> None:
    assert done(uniform((10, 100, 200)), ("brightness", 1.5))[0, 0].tolist() == [15, 150, 255]


def test_contrast_is_about_the_mean_luma() -> None:
    image = uniform((50, 50, 50))
    image[:, 4:] = 150
    twice = done(image, ("contrast", 1.5))
    assert twice[0, 0].tolist() == [25] * 3
    assert twice[0, 7].tolist() == [175] * 3
    assert (done(image, ("contrast", 3.0))[0, 0] == 0).all()


def test_saturation_zero_is_luma() -> None:
    assert done(uniform((200, 100, 50)), ("saturation", 0.0))[0, 0].tolist() == [124] * 3  # 59.8 + 58.7 + 5.7


@pytest.mark.parametrize(
    ("degrees", "turned"),
    [(120.0, (0, 255, 0)), (-120.0, (0, 0, 255)), (60.0, (255, 255, 0)), (180.0, (0, 255, 255))],
)
def test_hue_turns_red(degrees: float, turned: tuple[int, int, int]) -> None:
    assert (done(uniform((255, 0, 0)), ("hue", degrees)) == turned).all()


def test_hue_leaves_grey_and_turns_back() -> None:
    assert (done(uniform((77, 77, 77)), ("hue", 100.0)) == 77).all()
    back = done(done(NOISE, ("hue", 90.0)), ("hue", -90.0))
    assert np.abs(back.astype(int) - NOISE).max() <= 1


@pytest.mark.parametrize("quality", [50, 75, 96])
def test_jpeg_is_what_pillow_makes_of_that_quality(quality: int) -> None:
    smooth = done(NOISE, ("blur", 2.0))
    stream = io.BytesIO()
    Image.fromarray(smooth).save(stream, "JPEG", quality=quality, subsampling="4:2:0")
    expected = np.asarray(Image.open(stream)).astype(int)
    compressed = done(smooth, ("jpeg", float(quality))).astype(int)
    assert np.abs(compressed - expected).max() <= 3
    assert np.abs(compressed - smooth).max() > 0


def test_blur_is_a_gaussian() -> None:
    image = np.zeros((21, 21, 3), np.uint8)
    image[10, 10] = 255
    weights = np.exp(-(np.arange(-4, 5) ** 2) / 2)
    expected = 255 * np.outer(weights, weights) / weights.sum() ** 2
    assert np.abs(done(image, ("blur", 1.0))[6:15, 6:15, 0] - expected).max() <= 1


def test_noise_has_its_standard_deviation_and_its_seed() -> None:
    grey = np.full((128, 128, 3), 128, np.uint8)
    grain = done(grey, ("noise", 4.0, 0.25)).astype(float) - 128
    assert abs(grain.std() - 4) < 0.1 and abs(grain.mean()) < 0.1
    assert abs(np.corrcoef(grain[..., 0].ravel(), grain[..., 1].ravel())[0, 1]) < 0.03
    assert np.array_equal(done(grey, ("noise", 4.0, 0.25)), done(grey, ("noise", 4.0, 0.25)))
    assert not np.array_equal(done(grey, ("noise", 4.0, 0.25)), done(grey, ("noise", 4.0, 0.5)))


def test_rescale_by_half_averages_two_by_two() -> None:
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2] = 200
    assert (done(stripes, ("rescale", 0.5)) == 100).all()


@pytest.mark.parametrize("quality", [50, 75, 96])
def test_webp_is_what_pillow_makes_of_that_quality(quality: int) -> None:
    smooth = done(NOISE, ("blur", 2.0))
    stream = io.BytesIO()
    Image.fromarray(smooth).save(stream, "WEBP", quality=quality)
    expected = np.asarray(Image.open(stream)).astype(int)
    compressed = done(smooth, ("webp", float(quality))).astype(int)
    assert np.abs(compressed - expected).max() <= 4
    assert np.abs(compressed - smooth).max() > 0


@pytest.mark.parametrize(
    ("shape", "tall", "wide"),
    [(0.5, 10, 10), (0.0, 5, 18), (1.0, 18, 5)],  # of 100 pixels: √(100 · 0.3) = 5.5 against √(100 / 0.3) = 18.3
)
def test_erasing_covers_its_share_of_the_area(shape: float, tall: int, wide: int) -> None:
    black = np.zeros((20, 20, 3), np.uint8)
    erased = done(black, ("erasing", 0.25, shape, 0.0, 0.0, 0.5))
    rows, columns = np.nonzero(erased.any(axis=2))
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (0, tall, 0, wide)
    assert abs(erased[:tall, :wide].mean() - 127.5) < 25
    assert np.array_equal(erased, done(black, ("erasing", 0.25, shape, 0.0, 0.0, 0.5)))
    assert not np.array_equal(erased, done(black, ("erasing", 0.25, shape, 0.0, 0.0, 0.25)))


def test_erasing_is_where_its_position_says_and_never_outside() -> None:
    white = np.full((20, 20, 3), 255, np.uint8)
    erased = done(white, ("erasing", 0.25, 0.5, 0.999, 0.5, 0.5)) != 255
    assert erased[5:15, 10:].mean() > 0.99 and erased.sum() == erased[5:15, 10:].sum()
    assert done(white, ("erasing", 1.0, 0.0, 0.9, 0.9, drawing.MEAN)).shape == (20, 20, 3)


def test_erasing_with_the_mean_colour() -> None:
    halves = uniform((10, 100, 200))
    halves[:, 4:] = (30, 100, 0)
    on = settings(erasing={"fraction": (1.0, 1.0), "fill": "mean"})
    (plan,) = planned(on, True, drawing.uniforms(1, 1, "test"))
    shown = {tuple(colour) for colour in apply(halves, plan).reshape(-1, 3).tolist()}
    assert (20, 100, 100) in shown and shown <= {(20, 100, 100), (10, 100, 200), (30, 100, 0)}


@given(IMAGES, st.integers(0, 2**32 - 1))
@pytest.mark.slow
def test_any_plan_keeps_shape_and_type_and_leaves_its_input(image: np.ndarray, seed: int) -> None:
    everything = settings(**{name: {"p": 0.5} for name in OFF})
    before = image.copy()
    out = apply(image, planned(everything, False, one(seed))[0])
    assert out.shape == image.shape and out.dtype == np.uint8
    assert np.array_equal(image, before) and not np.shares_memory(out, image)


@given(IMAGES, st.integers(0, 2**32 - 1))
@pytest.mark.slow
def test_ranges_of_no_effect_leave_the_image(image: np.ndarray, seed: int) -> None:
    plan = planned(settings(**IDENTITY), False, one(seed))[0]
    assert len(plan.steps) == len(IDENTITY)
    assert np.array_equal(apply(image, plan), image)


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_any_shift_is_filled_with_the_image_itself(right: float, down: float) -> None:
    assert set(done(NOISE[..., :], ("shift", right, down)).ravel()) <= set(NOISE.ravel())


@pytest.mark.slow
def test_values_come_from_their_ranges() -> None:
    every = settings(**{name: {} for name in OFF})
    for plan in planned(every, False, drawing.uniforms(200, 1, "test")):
        assert [name for name, _ in plan.steps] == list(OFF)
        for name, values in plan.steps:
            setting, count = (
                next((key for key in OFF[name] if key not in ("enabled", "p")), None),
                2 - (name != "shift"),
            )
            if setting:
                low, high = OFF[name][setting]
                assert all(low <= value <= high for value in values[:count])
    quality = settings(jpeg={"quality": (70, 72)})
    drawn = {plan.steps[0][1][0] for plan in planned(quality, True, drawing.uniforms(100, 1, "test"))}
    assert drawn == {70, 71, 72}


@pytest.mark.slow
def test_one_degradation_excludes_the_others_and_keeps_each_p() -> None:
    five = settings(jpeg={"p": 0.4}, blur={"p": 0.1}, noise={"p": 0.1}, rescale={"p": 0.1}, webp={"p": 0.1})
    numbers = drawing.uniforms(4000, 1, "test")
    steps = [plan.steps for plan in planned(five, True, numbers)]
    assert {len(each) for each in steps} == {0, 1}
    share = {name: np.mean([bool(each) and each[0][0] == name for each in steps]) for name in drawing.DEGRADATIONS}
    assert share == pytest.approx({"jpeg": 0.4, "blur": 0.1, "noise": 0.1, "rescale": 0.1, "webp": 0.1}, abs=0.03)
    assert max(len(plan.steps) for plan in planned(five, False, numbers)) > 1


def test_one_degradation_divides_probabilities_that_exceed_one() -> None:
    five = settings(**{name: {"p": 1.0} for name in drawing.DEGRADATIONS})
    names = [plan.steps[0][0] for plan in planned(five, True, drawing.uniforms(4000, 1, "test"))]
    assert all(abs(names.count(name) / 4000 - 0.2) < 0.03 for name in drawing.DEGRADATIONS)


@pytest.mark.slow
def test_a_second_degradation_follows_a_share_of_the_first_ones() -> None:
    four = settings(jpeg={"p": 0.4}, blur={"p": 0.1}, noise={"p": 0.1}, rescale={"p": 0.2}, erasing={"p": 1.0})
    numbers = drawing.uniforms(20_000, 1, "test")
    alone = [plan.steps for plan in planned(four, True, numbers)]
    pairs = [plan.steps for plan in planned(four, True, numbers, second_degradation=0.5)]
    assert all(many[-1] == few[-1] and many[: len(few) - 1] == few[:-1] for few, many in zip(alone, pairs, strict=True))
    first = [each[0][0] for each in pairs if len(each) > 1]
    second = [(each[0][0], each[1][0]) for each in pairs if len(each) > 2]
    assert len(first) / len(pairs) == pytest.approx(0.8, abs=0.01)
    assert len(second) / len(first) == pytest.approx(0.5, abs=0.015)
    after_jpeg = [name for before, name in second if before == "jpeg"]
    shares = {name: after_jpeg.count(name) / len(after_jpeg) for name in drawing.DEGRADATIONS}
    assert shares == pytest.approx({"jpeg": 0, "blur": 0.25, "noise": 0.25, "rescale": 0.5, "webp": 0}, abs=0.03)
    assert second.count(("rescale", "jpeg")) / len(first) == pytest.approx(0.25 * 0.5 * 4 / 6, abs=0.015)


def test_every_degraded_image_may_get_a_second_and_a_lone_degradation_none() -> None:
    numbers = drawing.uniforms(500, 1, "test")
    two = settings(jpeg={"p": 0.7}, blur={"p": 0.6})
    assert {len(plan.steps) for plan in planned(two, True, numbers, second_degradation=1.0)} == {2}
    lone = settings(jpeg={"p": 0.7}, flip={"p": 0.5})
    assert planned(lone, True, numbers, second_degradation=1.0) == planned(lone, True, numbers)
    clean = settings(flip={"p": 0.5})
    assert planned(clean, True, numbers, second_degradation=1.0) == planned(clean, True, numbers)


def test_switching_a_transform_on_changes_no_other_draw() -> None:
    numbers = drawing.uniforms(50, 1, "test")
    alone = planned(settings(shift={"p": 0.5}), False, numbers)
    with_more = planned(settings(shift={"p": 0.5}, rotation={"p": 0.5}, noise={"p": 0.5}), False, numbers)
    for few, many in zip(alone, with_more, strict=True):
        assert few.steps == tuple(step for step in many.steps if step[0] == "shift")


def test_later_transforms_do_not_change_the_numbers_of_the_first() -> None:
    numbers = drawing.uniforms(3, 7, "test", 1)
    assert np.array_equal(numbers[:, :30], seeds.generator(7, "test", 1).random((3, 30)))
    assert np.array_equal(numbers[:, 30:-1], seeds.generator(7, "test/later", 1).random((3, numbers.shape[1] - 31)))
    assert np.array_equal(numbers[:2], drawing.uniforms(2, 7, "test", 1))


def test_batches_and_threads_change_nothing() -> None:
    images = np.random.default_rng(1).integers(0, 256, (23, 16, 16, 3), dtype=np.uint8)
    every = settings(**{name: {"p": 0.5} for name in OFF})
    numbers = drawing.uniforms(23, 7, "train/test", 3)
    whole = transforms.augment_batch(images, Augmentation(every, True), numbers)
    rows = np.random.default_rng(2).permutation(23)
    with ThreadPoolExecutor(4) as pool:
        parts = [
            transforms.augment_batch(images[r], Augmentation(every, True), numbers[r], pool)
            for r in np.array_split(rows, 5)
        ]
    assert np.array_equal(np.concatenate(parts), whole[rows])
    other_epoch = transforms.augment_batch(images, Augmentation(every, True), drawing.uniforms(23, 7, "train/test", 4))
    assert not np.array_equal(other_epoch, whole)


def test_a_plan_says_what_it_does() -> None:
    assert str(Plan((("flip", ()), ("shift", (0.05, -0.021)), ("jpeg", (71.0,))))) == (
        "flip, shift fraction=0.05/-0.021, jpeg quality=71"
    )
    assert str(Plan((("noise", (2.5, 0.123)),))) == "noise sigma=2.5"
    assert str(Plan(())) == "as it is"
