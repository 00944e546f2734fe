import numpy as np

from fakeprint.data.arrays import resized

RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_own_size_is_untouched() -> None:
    square = RGB[:, :40]
    for how in ("squash", "crop"):
        assert (resized(square, 40, how) == square).all()


def test_crop_keeps_the_middle() -> None:
    assert (resized(RGB, 40, "crop") == RGB[:, 10:50]).all()
    assert (resized(RGB.transpose(1, 0, 2), 40, "crop") == RGB[:, 10:50].transpose(1, 0, 2)).all()
    assert (resized(RGB, 20, "crop") == resized(RGB[:, 10:50], 20, "squash")).all()


def test_squash_scales_each_side() -> None:
    wide = np.zeros((10, 40, 3), dtype=np.uint8)
    wide[:, 20:] = 200
    found = resized(wide, 20, "squash")
    assert found.shape == (20, 20, 3)
    assert found.dtype == np.uint8
    assert (found[:, :8] == 0).all()
    assert (found[:, 12:] == 200).all()


def test_shrinking_averages() -> None:
    checkered = np.indices((64, 64)).sum(axis=0)[:, :, None].repeat(3, axis=2) % 2 * 255
    found = resized(checkered.astype(np.uint8), 16, "squash")
    assert np.abs(found.astype(int) - 127).max() <= 3
