"""Transforms on a device, here the CPU as torch sees it, against the same transforms image by image."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from fakeprint import params
from fakeprint.augment import drawing, on_device, transforms
from fakeprint.augment.drawing import DEFAULT_WARP, MEAN, Augmentation, Plan, Step, Warp
from fakeprint.augment.on_device import BatchPlan, apply_batch, pack_steps
from tests.samples import DEMO

COUNT, SIDE = 24, 45  # a side that blocks of 8 and squares of 2 do not fill
Draw = Callable[[np.random.Generator], tuple[float, ...]]

# How values are drawn, wider than params.yaml's ranges, and the largest mean difference, in grey levels.
CASES: dict[str, tuple[Draw, float]] = {
    "flip": (lambda rng: (), 0.0),
    "shift": (lambda rng: tuple(rng.uniform(-1, 1, 2)), 0.0),
    "rotation": (lambda rng: (rng.uniform(-180, 180),), 0.001),
    "zoom": (lambda rng: (rng.uniform(0.4, 3),), 0.001),
    "crop": (lambda rng: (rng.uniform(0.1, 1), *rng.random(2)), 0.001),
    "brightness": (lambda rng: (rng.uniform(0.05, 4),), 0.001),
    "contrast": (lambda rng: (rng.uniform(0.05, 4),), 0.001),
    "saturation": (lambda rng: (rng.uniform(0.05, 4),), 0.001),
    "hue": (lambda rng: (rng.uniform(-180, 180),), 0.001),
    "jpeg": (lambda rng: (float(rng.integers(1, 101)),), 0.0),
    "blur": (lambda rng: (rng.uniform(0, 12),), 0.0),
    "rescale": (lambda rng: (rng.uniform(0.05, 1),), 0.02),
    "erasing": (lambda rng: (rng.uniform(0.02, 1), *rng.random(3), MEAN), 0.0),
}


def pictures(count: int = COUNT, side: int = SIDE) -> np.ndarray:
    """Soft blotches with some grain, from black to white."""
    rng = np.random.default_rng(0)
    rough = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return np.stack([cv2.addWeighted(cv2.GaussianBlur(image, (0, 0), 2), 2.7, image, 0.3, -256) for image in rough])


PICTURES = pictures()


def packed(plans: list[Plan], height: int, width: int) -> BatchPlan:
    """Plans of one warp as one. Steps are grouped by position in the plan, then by name."""
    steps = []
    for number in range(max((len(plan.steps) for plan in plans), default=0)):
        of_number = [(place, *plan.steps[number]) for place, plan in enumerate(plans) if len(plan.steps) > number]
        for name in dict.fromkeys(name for _, name, _ in of_number):
            places, values = zip(*((place, values) for place, each, values in of_number if each == name), strict=True)
            steps.append(Step(name, np.array(places), np.array(values).reshape(len(places), -1)))
    warps = {plan.warp for plan in plans} or {DEFAULT_WARP}
    assert len(warps) == 1
    return pack_steps(steps, warps.pop(), len(plans), height, width)


def on_device_batch(images: np.ndarray, plans: list[Plan]) -> np.ndarray:
    return apply_batch(torch.from_numpy(images.copy()), packed(plans, *images.shape[1:3])).numpy()


def on_cpu(images: np.ndarray, plans: list[Plan]) -> np.ndarray:
    return np.stack([transforms.apply(image, plan) for image, plan in zip(images, plans, strict=True)])


def differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.abs(first.astype(int) - second)


def drawn(name: str, draw: Draw) -> list[Plan]:
    """One plan per picture, of this transform alone."""
    rng = np.random.default_rng(1)
    return [Plan(((name, tuple(float(value) for value in draw(rng))),)) for _ in PICTURES]


def everything(webp: bool = False) -> params.Transforms:
    """All transforms that a device supports, each for half of the images."""
    blocks = params.load(DEMO).train.transforms.model_dump()
    return params.Transforms.model_validate(
        {name: {**block, "enabled": webp or name != "webp", "p": 0.5} for name, block in blocks.items()}
    )


@pytest.mark.parametrize("name", CASES)
def test_each_transform_is_that_of_the_cpu(name: str) -> None:
    plans, far = drawn(name, CASES[name][0]), CASES[name][1]
    expected = on_cpu(PICTURES, plans)
    distance = differences(on_device_batch(PICTURES, plans), expected)
    assert distance.mean() <= far and distance.max() <= (1 if far else 0)
    assert differences(expected, PICTURES).mean() > 1, "the case must do something"


@pytest.mark.slow
@pytest.mark.parametrize("fill", ["reflect", "edge", "black"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest"])
def test_each_way_to_warp_and_to_fill_is_that_of_the_cpu(interpolation: str, fill: str) -> None:
    warp = Warp(interpolation, fill)
    turned = [Plan((*plan.steps, ("shift", (0.2, -0.1))), warp) for plan in drawn("rotation", CASES["rotation"][0])]
    zoomed = [Plan(plan.steps, warp) for plan in drawn("zoom", CASES["zoom"][0])]
    by_pixels = [Plan((("flip", ()), *plan.steps), warp) for plan in drawn("shift", CASES["shift"][0])]
    for plans in (turned, zoomed):
        distance = differences(on_device_batch(PICTURES, plans), on_cpu(PICTURES, plans))
        # A place halfway between two pixels may go to either.
        assert distance.mean() < 0.005 and (distance > 1).mean() < 0.001
    np.testing.assert_array_equal(on_device_batch(PICTURES, by_pixels), on_cpu(PICTURES, by_pixels))
    mixed = [*turned[:8], *zoomed[8:16], *by_pixels[16:]]
    np.testing.assert_array_equal(on_device_batch(PICTURES, mixed)[:8], on_device_batch(PICTURES[:8], turned[:8]))
    np.testing.assert_array_equal(on_device_batch(PICTURES, mixed)[16:], on_device_batch(PICTURES[16:], by_pixels[16:]))


@pytest.mark.parametrize("side", [16, 31, 64, 100])
@pytest.mark.parametrize("quality", [1, 49, 50, 75, 96, 100])
def test_jpeg_is_the_cpus_bit_by_bit(side: int, quality: int) -> None:
    sharp = np.random.default_rng(2).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    images = np.concatenate([pictures(2, side), sharp, np.where(sharp > 127, 255, 0).astype(np.uint8)])
    plans = [Plan((("jpeg", (float(quality),)),))] * len(images)
    np.testing.assert_array_equal(on_device_batch(images, plans), on_cpu(images, plans))


@pytest.mark.parametrize("factor", [0.05, 0.25, 0.5, 0.75, 0.99, 1.0])
def test_rescaling_by_factors_that_round(factor: float) -> None:
    images = pictures(4, 64)
    plans = [Plan((("rescale", (factor,)),))] * len(images)
    distance = differences(on_device_batch(images, plans), on_cpu(images, plans))
    assert distance.max() <= 1 and distance.mean() <= (0.03 if factor < 1 else 0)


@pytest.mark.parametrize("sigma", [0.0, 0.05, 0.3, 1.0, 40.0])
def test_blurs_narrower_than_a_pixel_and_wider_than_the_image(sigma: float) -> None:
    plans = [Plan((("blur", (sigma,)),)), Plan((("blur", (1.5,)),))]
    np.testing.assert_array_equal(on_device_batch(PICTURES[:2], plans), on_cpu(PICTURES[:2], plans))


def test_no_turn_of_hue_leaves_the_image() -> None:
    plans = [Plan((("hue", (0.0,)),)), Plan((("hue", (30.0,)),))]
    done = on_device_batch(PICTURES[:2], plans)
    assert np.array_equal(done[0], PICTURES[0]) and not np.array_equal(done[1], PICTURES[1])


def test_moves_become_one_warp_on_a_device_too() -> None:
    moves = (("flip", ()), ("rotation", (7.0,)), ("shift", (0.1, -0.2)), ("zoom", (1.1,)), ("crop", (0.8, 0.3, 0.9)))
    back = (("zoom", (2.0,)), ("zoom", (0.5,)))
    plans = [Plan(moves), Plan(moves[:1] + moves[2:3]), Plan(back), Plan(())]
    done = on_device_batch(PICTURES[:4], plans)
    assert differences(done, on_cpu(PICTURES[:4], plans)).mean() < 0.001
    np.testing.assert_array_equal(done[1:], on_cpu(PICTURES[1:4], plans[1:]))


def test_a_fill_wider_than_the_image_is_mirrored_again() -> None:
    # OpenCV 5 mirrors once; an image that is mirrored on all sides first shows what is expected.
    plan = Plan((("zoom", (0.25,)),))
    around = np.pad(PICTURES[0], [(90, 90), (90, 90), (0, 0)], mode="reflect")
    expected = transforms.apply(around, plan)[90:-90, 90:-90]
    assert differences(on_device_batch(PICTURES[:1], [plan])[0], expected).mean() < 0.001


def test_noise_has_its_standard_deviation_and_its_seed() -> None:
    grey = np.full((4, 128, 128, 3), 128, np.uint8)
    done = on_device_batch(
        grey, [Plan((("noise", values),)) for values in ((4.0, 0.25), (4.0, 0.5), (9.0, 0.25), (0.0, 0.25))]
    )
    grain = done.astype(float) - 128
    assert grain[0].std() == pytest.approx(4, abs=0.05) and grain[2].std() == pytest.approx(9, abs=0.1)
    assert np.abs(grain.mean((1, 2))).max() < 0.2 and not grain[3].any()
    assert np.corrcoef(grain[0].ravel(), grain[2].ravel())[0, 1] > 0.99, "one seed, one grain"
    flat = grain[0].ravel()
    others = [grain[1].ravel(), np.roll(flat, 1), np.roll(flat, 3), np.roll(flat, flat.size // 2)]
    assert max(abs(np.corrcoef(flat, other)[0, 1]) for other in others) < 0.02
    # A normal distribution: 68.3 % within one standard deviation, 99.7 % within three; the tails are not cut.
    assert np.mean(np.abs(grain[2]) <= 9) == pytest.approx(0.709, abs=0.01)  # up to 9.5, because values are rounded
    assert 0.001 < np.mean(np.abs(grain[2]) > 27) < 0.004


def test_erasing_with_random_values_is_where_it_is_on_a_cpu() -> None:
    plans = drawn("erasing", lambda rng: (rng.uniform(0.02, 1), *rng.random(4)))
    black = np.zeros_like(PICTURES)
    inside = on_cpu(black, plans).any(3)
    np.testing.assert_array_equal(on_device_batch(black, plans).any(3) & ~inside, False)
    done = on_device_batch(PICTURES, plans)
    np.testing.assert_array_equal(done[~inside], PICTURES[~inside])
    assert done[inside].mean() == pytest.approx(127.5, abs=1) and done[inside].std() == pytest.approx(73.9, abs=1)
    (name, values), *_ = plans[0].steps
    other_seed = Plan(((name, (*values[:4], values[4] / 2)),))
    assert not np.array_equal(done[0], on_device_batch(PICTURES[:1], [other_seed])[0])


@pytest.mark.slow
@pytest.mark.parametrize(("one_degradation", "second"), [(True, 0.0), (True, 0.5), (False, 0.0)])
def test_any_mix_of_plans_is_the_same_images_one_by_one(one_degradation: bool, second: float) -> None:
    numbers = drawing.uniforms(COUNT, 5, "test")
    plans = drawing.plans(Augmentation(everything(), one_degradation, second_degradation=second), numbers)
    whole = on_device_batch(PICTURES, plans)
    single = [on_device_batch(PICTURES[row : row + 1], [plan]) for row, plan in enumerate(plans)]
    np.testing.assert_array_equal(whole, np.concatenate(single))
    steps = drawing.steps(Augmentation(everything(), one_degradation, second_degradation=second), numbers)
    at_once = apply_batch(torch.from_numpy(PICTURES.copy()), pack_steps(steps, DEFAULT_WARP, COUNT, SIDE, SIDE))
    np.testing.assert_array_equal(whole, at_once.numpy())


def test_drawn_plans_are_as_on_a_cpu() -> None:
    blocks = everything().model_dump()
    blocks["noise"]["enabled"], blocks["erasing"]["fill"] = False, "mean"
    plans = drawing.plans(
        Augmentation(params.Transforms.model_validate(blocks), True), drawing.uniforms(COUNT, 5, "test")
    )
    assert {name for plan in plans for name, _ in plan.steps} == {*CASES}
    assert differences(on_device_batch(PICTURES, plans), on_cpu(PICTURES, plans)).mean() < 0.01


def test_plans_in_another_order_than_they_are_drawn_in() -> None:
    steps = (("blur", (1.0,)), ("brightness", (1.3,)), ("blur", (0.7,)), ("jpeg", (60.0,)), ("contrast", (0.8,)))
    plans = [Plan(steps), Plan(steps[::-1])]
    assert differences(on_device_batch(PICTURES[:2], plans), on_cpu(PICTURES[:2], plans)).mean() < 0.001


def test_autocast_has_no_effect() -> None:
    plans = drawn("jpeg", CASES["jpeg"][0])[:12] + drawn("blur", CASES["blur"][0])[12:]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        done = on_device_batch(PICTURES, plans)
    np.testing.assert_array_equal(done, on_device_batch(PICTURES, plans))


@pytest.mark.parametrize("name", ["jpeg", "blur"])
@pytest.mark.parametrize("precision", ["high", "medium"])
def test_products_that_are_rounded_are_refused(name: str, precision: str) -> None:
    plans = drawn(name, CASES[name][0])
    torch.set_float32_matmul_precision(precision)
    try:
        with pytest.raises(
            RuntimeError, match=r"full float32 matrix products, .* uses (tf32|bf16): call torch\.set_float32"
        ):
            on_device_batch(PICTURES, plans)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert on_device_batch(PICTURES, plans).shape == PICTURES.shape


class Recorded(TorchDispatchMode):
    """Records which operations ran."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.name())
        return func(*args, **(kwargs or {}))


def test_nothing_is_read_back_from_the_device() -> None:
    # The host waits for a value, or for a size that depends on values, such as that of a masked selection.
    images = torch.from_numpy(PICTURES.copy())
    steps = drawing.steps(Augmentation(everything(), False), drawing.uniforms(COUNT, 5, "test"))
    plan = pack_steps(steps, DEFAULT_WARP, COUNT, SIDE, SIDE)
    apply_batch(images, plan)  # constants are on the device from the first batch on
    with Recorded() as recorded:
        apply_batch(images, plan)
    waits = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal", "repeat_interleave", "lift_fresh")
    assert recorded.names
    assert [name for name in recorded.names if name.split("::")[1].split(".")[0] in waits] == []
    assert plan.packed.dtype == torch.int32 and plan.packed.nbytes < PICTURES.nbytes / 2


def test_what_a_device_does_not_support() -> None:
    assert on_device.unsupported(everything()) == []
    assert on_device.unsupported(everything(webp=True)) == ["webp"]
    with pytest.raises(KeyError, match="webp"):
        packed([Plan((("webp", (80.0,)),))], 16, 16)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 5), st.integers(9, 40), st.integers(9, 40), st.integers(0, 2**32 - 1))
@pytest.mark.slow
def test_any_plan_keeps_shape_and_type_and_overwrites_its_input(count: int, height: int, width: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    numbers = np.random.default_rng(seed).random((count, drawing.DRAWS))
    steps = drawing.steps(Augmentation(everything(), False), numbers)
    given_images = torch.from_numpy(images)
    out = apply_batch(given_images, pack_steps(steps, DEFAULT_WARP, count, height, width))
    assert out.shape == images.shape and out.dtype == torch.uint8
    assert out is given_images


@settings(max_examples=25, deadline=None)
@given(st.floats(0.05, 1), st.integers(9, 40), st.integers(0, 2**32 - 1))
def test_smoothing_stays_within_the_values_of_the_image(factor: float, side: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(40, 90, (2, side, side, 3), dtype=np.uint8)
    for name, value in (("rescale", factor), ("blur", 10 * factor), ("shift", factor)):
        out = on_device_batch(images, [Plan(((name, (value, -value) if name == "shift" else (value,)),))] * 2)
        assert images.min() <= out.min() and out.max() <= images.max()
