import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fakeprint.predict
from fakeprint import params
from fakeprint.augment.drawing import Plan
from fakeprint.augment.transforms import apply
from fakeprint.data.arrays import Dataset, resized
from fakeprint.errors import InputError
from fakeprint.evaluation.champion import copy_out
from fakeprint.features import extract
from fakeprint.models.classifiers.files import FittedClassifier, describe, save_classifier
from fakeprint.models.classifiers.fitting import fit
from fakeprint.models.ensembles.combinations import WeightedAverage, save_ensemble
from fakeprint.predict import LoadedModel, load_model, predict_files, read_image, views
from tests.data.hostile import in_new_process

SIZE = 40
DATASET = Dataset(
    classes=["0", "1", "2"], names=["red", "green", "blue"], image_size=SIZE, resize="squash", max_pixels=10**6
)
LDA = params.LDA(method="lda", features=["hsv_hist", "rgb_hist"], scale="sqrt", augmented=False, shrinkage=0.5)
KNN = params.KNN(method="knn", features=["rgb_hist"], scale="none", augmented=False, k=[3], metrics=["l1"])
OPTIONS = {"hsv_hist": {"bins": 8}, "rgb_hist": {"bins": 3}}


def pictures(count=30, seed=0):
    """Noise, brighter in the channel of its class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = rng.integers(0, 180, (count, SIZE, SIZE, 3), dtype=np.uint8)
    images[np.arange(count), :, :, labels] += 40
    return images, labels


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models lda, knn, three_cnn (random weights), an ensemble of the three, and the champion: the ensemble."""
    import torch

    from fakeprint.models import networks
    from fakeprint.models.network_files import save_network

    root = tmp_path_factory.mktemp("models")
    images, labels = pictures()
    for name, settings in (("lda", LDA), ("knn", KNN)):
        x = np.concatenate([extract(part, OPTIONS[part], images) for part in settings.features], axis=1)
        model = fit(settings, x, labels, x, labels, seed=1, workers=1)
        features = {part: OPTIONS[part] for part in settings.features}
        (root / name).mkdir()
        save_classifier(
            root / name, FittedClassifier(model, describe(name, settings, model, features, asdict(DATASET)))
        )
    torch.manual_seed(0)
    design = networks.Design(3, SIZE, width=0.25)
    (root / "three_cnn").mkdir()
    described = {"name": "three_cnn", "dataset": asdict(DATASET), "design": asdict(design), "options": {}}
    save_network(root / "three_cnn", networks.build("three_cnn", design, {}), described)
    (root / "average").mkdir()
    ensemble = {"name": "average", "method": "average", "dataset": asdict(DATASET)}
    ensemble |= {"members": ["lda", "knn", "three_cnn"]}
    save_ensemble(root / "average", ensemble, WeightedAverage([0.5, 0.25, 0.25], [1.0, 1.0, 2.0]))
    copy_out("average", "test pictures", params.Predict(), root)
    return root


@pytest.mark.parametrize("name", ["lda", "knn", "three_cnn", "average", "champion"])
def test_files_are_predicted_as_arrays_are(models, tmp_path, name):
    images, _ = pictures(6, seed=1)
    paths = [tmp_path / f"{row}.png" for row in range(6)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    model = load_model(models / name)
    from_arrays = model.probabilities(images)
    assert from_arrays.shape == (6, 3)
    assert from_arrays.dtype == np.float64
    assert from_arrays.sum(axis=1) == pytest.approx(np.ones(6))
    (together,) = predict_files(model, [(path, None) for path in paths])
    assert (together.paths, together.unreadable) == (paths, [])
    assert np.array_equal(together.probabilities, from_arrays)
    one_by_one = [next(predict_files(model, [(path, None)])).probabilities[0] for path in paths]
    assert np.abs(np.stack(one_by_one) - from_arrays).max() < 1e-6


def test_the_classifiers_tell_the_pictures_apart(models):
    images, labels = pictures(9, seed=2)
    for name in ("lda", "knn"):
        assert load_model(models / name).probabilities(images).argmax(axis=1).tolist() == labels.tolist()


def test_a_network_gives_the_softmax_of_its_logits(models):
    import torch

    from fakeprint.models.network_files import load_network

    images, _ = pictures(150, seed=3)  # more than a batch
    module, _ = load_network(models / "three_cnn")
    with torch.no_grad():
        logits = module(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    wanted = torch.softmax(logits.double(), dim=1).numpy()
    assert np.abs(load_model(models / "three_cnn").probabilities(images) - wanted).max() < 1e-5


def test_an_ensemble_weighs_its_members(models):
    images, _ = pictures(4, seed=4)
    lda, knn, cnn = (load_model(models / name).probabilities(images) for name in ("lda", "knn", "three_cnn"))
    roots = np.sqrt(cnn) / np.sqrt(cnn).sum(axis=1, keepdims=True)  # its temperature is 2
    assert load_model(models / "average").probabilities(images) == pytest.approx(0.5 * lda + 0.25 * knn + 0.25 * roots)


FLIP, FLIP_SHIFT = params.Predict(tta="flip"), params.Predict(tta="flip_shift", shift=3)


def test_views_are_augmentations_own_flip_and_shifts():
    import torch

    images, _ = pictures(2, seed=6)
    seen = views(torch.from_numpy(images).permute(0, 3, 1, 2).float(), FLIP_SHIFT)
    by = 3 / SIZE
    steps = [("flip", ()), ("shift", (by, 0.0)), ("shift", (-by, 0.0)), ("shift", (0.0, by)), ("shift", (0.0, -by))]
    wanted = [images, *(np.stack([apply(image, Plan((step,))) for image in images]) for step in steps)]
    assert len(seen) == len(wanted)
    shown = {view.permute(0, 2, 3, 1).numpy().astype(np.uint8).tobytes() for view in seen}
    assert shown == {view.tobytes() for view in wanted}
    assert np.array_equal(seen[0].permute(0, 2, 3, 1).numpy(), images)


@pytest.mark.parametrize("tta", [FLIP, FLIP_SHIFT], ids=["flip", "flip_shift"])
def test_test_time_augmentation_averages_probabilities(models, tta):
    import torch

    images, _ = pictures(3, seed=7)
    plain = load_model(models / "three_cnn")
    tensors = views(torch.from_numpy(images).permute(0, 3, 1, 2).float(), tta)
    each = [plain.probabilities(view.permute(0, 2, 3, 1).numpy().astype(np.uint8)) for view in tensors]
    answered = load_model(models / "three_cnn", tta=tta).probabilities(images)
    assert np.abs(answered - np.mean(each, axis=0)).max() < 1e-5
    assert np.abs(answered - plain.probabilities(images)).max() > 1e-4
    mirrored = load_model(models / "three_cnn", tta=FLIP).probabilities(images[:, :, ::-1])
    assert np.abs(mirrored - load_model(models / "three_cnn", tta=FLIP).probabilities(images)).max() < 1e-5


def test_the_champion_predicts_as_it_became_champion(models, tmp_path):
    images, _ = pictures(3, seed=8)
    for name in ("lda", "knn", "three_cnn", "average"):
        shutil.copytree(models / name, tmp_path / name)
    copy_out("average", "test pictures", FLIP_SHIFT, tmp_path)
    wanted = load_model(tmp_path / "average", tta=FLIP_SHIFT).probabilities(images)
    assert np.array_equal(load_model(tmp_path / "champion").probabilities(images), wanted)
    assert not np.array_equal(load_model(tmp_path / "average").probabilities(images), wanted)


IN_BIG_PIECES = """
import ctypes, sys
from pathlib import Path
import torch
from fakeprint.predict import load_model

class MallocInfo(ctypes.Structure):  # glibc's mallinfo2
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = MallocInfo
before = mallinfo().hblks
kept = [torch.empty(2**25)]
without = mallinfo().hblks - before
load_model(Path(sys.argv[1]))
kept += [torch.empty(2**25)]
print(without, mallinfo().hblks - before - without)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_network_on_a_cpu_keeps_its_memory_between_batches(models):
    # Big pieces come from the heap, which glibc keeps, and no longer each from the system, which zeroes them anew.
    command = [sys.executable, "-c", IN_BIG_PIECES, str(models / "three_cnn")]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["1", "0"]


def test_the_champion_stands_alone(models, tmp_path):
    images, _ = pictures(3)
    (models / "champion").rename(tmp_path / "moved")
    try:
        moved = load_model(tmp_path / "moved")
        assert moved.name == "average"
        assert np.array_equal(moved.probabilities(images), load_model(models / "average").probabilities(images))
    finally:
        (tmp_path / "moved").rename(models / "champion")


@pytest.mark.parametrize("name", ["lda", "three_cnn", "average"])
def test_no_images_give_no_rows(models, name):
    assert load_model(models / name).probabilities(np.empty((0, SIZE, SIZE, 3), np.uint8)).shape == (0, 3)


def test_any_size_and_format_is_prepared_in_the_same_way(tmp_path):
    rng = np.random.default_rng(5)
    large = rng.integers(0, 255, (90, 61, 3), dtype=np.uint8)
    Image.fromarray(large).save(tmp_path / "large.bmp")
    grey = rng.integers(0, 255, (SIZE, SIZE), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.webp", lossless=True)
    assert np.array_equal(read_image(tmp_path / "large.bmp", DATASET), resized(large, SIZE, "squash"))
    assert np.array_equal(read_image(tmp_path / "grey.webp", DATASET), np.repeat(grey[:, :, None], 3, axis=2))


def brightness(images):
    """Probabilities of a model that looks at nothing but the mean."""
    share = images.reshape(len(images), -1).mean(axis=1) / 255
    return np.stack([share, 1 - share, 0 * share], axis=1)


def test_unreadable_files_come_with_the_reason(tmp_path):
    buffer = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(buffer, "PNG")
    whole = buffer.getvalue()
    contents = {
        "empty.png": b"",
        "text.png": b"hello, this is no picture at all, is it?",
        "cut.png": whole[: len(whole) // 2],
    }
    for name, content in {**contents, "good.png": whole}.items():
        (tmp_path / name).write_bytes(content)
    paths = [tmp_path / name for name in [*contents, "good.png"]] + [tmp_path]
    model = LoadedModel("brightness", DATASET, brightness)
    (group,) = predict_files(model, [*((path, None) for path in paths), (tmp_path / "link", "a link to a folder")])
    assert group.probabilities.shape == (1, 3)
    assert group.paths == [tmp_path / "good.png"]
    assert [(path.name, reason) for path, reason in group.unreadable] == [
        ("empty.png", "empty"),
        ("text.png", "not an image"),
        ("cut.png", "truncated"),
        (tmp_path.name, "a folder"),
        ("link", "a link to a folder"),
    ]


def test_each_file_gets_its_own_probabilities_in_groups_of_any_size(tmp_path, monkeypatch):
    greys = np.random.default_rng(1).permutation(200)[:70]
    for number, grey in enumerate(greys):
        Image.new("RGB", (5, 5), (int(grey),) * 3).save(tmp_path / f"{number}.png")
    files = [(tmp_path / f"{number}.png", None) for number in range(len(greys))]
    model = LoadedModel("brightness", DATASET, brightness)
    for size, groups in ((1, 70), (16, 5), (69, 2), (70, 1), (1024, 1)):
        monkeypatch.setattr(fakeprint.predict, "MAX_FILES", size)
        found = list(predict_files(model, files))
        assert len(found) == groups
        assert [path for group in found for path in group.paths] == [path for path, _ in files]
        assert np.concatenate([group.probabilities[:, 0] for group in found]) * 255 == pytest.approx(greys)


def test_files_are_read_while_the_model_computes_and_not_far_ahead(tmp_path, monkeypatch):
    for number in range(40):
        Image.new("RGB", (5, 5)).save(tmp_path / f"{number}.png")
    monkeypatch.setattr(fakeprint.predict, "MAX_FILES", 4)
    read, opened = [], fakeprint.predict.read_image
    monkeypatch.setattr(
        fakeprint.predict, "read_image", lambda path, dataset: read.append(path) or opened(path, dataset)
    )
    read_so_far = []

    def slow(images):
        wanted, deadline = len(images) * (len(read_so_far) + 2), time.monotonic() + 30
        while len(read) < min(wanted, 40) and time.monotonic() < deadline:
            time.sleep(0.001)
        read_so_far.append(len(read))
        return brightness(images)

    files = ((tmp_path / f"{number}.png", None) for number in range(40))
    groups = predict_files(LoadedModel("slow", DATASET, slow), files)
    for _ in range(3):
        next(groups)
    groups.close()  # what was not read yet stays unread
    assert read_so_far == [8, 12, 16]
    assert len(read) == 16
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_files(tmp_path):
    Image.new("RGB", (512, 512), "red").save(tmp_path / "0.png")
    for number in range(1, 400):
        (tmp_path / f"{number}.png").symlink_to("0.png")
    rows, mebibytes = in_new_process(
        """
from pathlib import Path
import numpy as np
from fakeprint.data.arrays import Dataset
from fakeprint.predict import LoadedModel, predict_files
dataset = Dataset(["a", "b"], ["a", "b"], 512, "squash", 10**6)
model = LoadedModel("half", dataset, lambda images: np.full((len(images), 2), 0.5))
before()
files = ((path, None) for path in Path(sys.argv[1]).iterdir())
result = [len(group.paths) for group in predict_files(model, files)]
""",
        tmp_path,
    )
    assert rows == [42] * 9 + [22]
    assert mebibytes < 110  # all of them are 300 MiB


def test_a_missing_model_says_what_to_run(tmp_path):
    with pytest.raises(InputError, match=r"gone/model\.json is missing: run `dvc repro` or `dvc checkout .*gone`$"):
        load_model(tmp_path / "gone")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"kind": "oracle"}',
            r"model\.json does not describe a network or a classifier or an ensemble: run `dvc repro`",
        ),
        ("{", r"model\.json is not valid JSON: run `dvc checkout --force .*"),
    ],
)
def test_a_strange_model_is_refused(tmp_path: Path, text, message):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(InputError, match=message):
        load_model(tmp_path)


@pytest.mark.slow
def test_evaluation_and_the_way_to_a_classifier_need_no_torch():
    code = (
        "import sys; from fakeprint import predict; from fakeprint.models.classifiers import files, fitting;"
        "from fakeprint.evaluation import champion, curves, leaderboard, plots, report, robustness, submission;"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
