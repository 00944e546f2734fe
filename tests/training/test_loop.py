"""The loop: what it learns, what it keeps, what it repeats."""

import math
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fakeprint import params
from fakeprint.data.arrays import Dataset
from fakeprint.errors import InputError
from fakeprint.models import networks
from fakeprint.models.networks.trace_net import WhitenedPatches
from fakeprint.params import NetworkSettings
from fakeprint.training import batches, checkpoints, distributed, steps
from fakeprint.training.checkpoints import Checkpoint
from fakeprint.training.device import Execution, RepeatablePool
from fakeprint.training.images import Images
from fakeprint.training.inputs import TrainingData
from fakeprint.training.loop import train
from fakeprint.training.recipe import Recipe, build_recipe
from fakeprint.training.run import Run, new_run
from fakeprint.training.steps import train_epoch, validate
from tests.samples import DEMO

CPU = Execution("cpu", bf16=False)
Rows = list[tuple[int, dict[str, float]]]


def coloured(count: int, seed: int, classes: int = 2) -> Images:
    """Noise whose red level is its class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    pictures = rng.integers(0, 150, (count, 16, 16, 3)).astype(np.uint8)
    pictures[..., 0] += (labels * (100 // (classes - 1))).astype(np.uint8)[:, None, None]
    return Images([pictures], labels)


def settings(**changes: Any) -> NetworkSettings:
    everything = params.load(DEMO)
    given = {"epochs": 3, "batch_size": 16, "lr": 0.01, "schedule": "none", "early_stopping": 0, **changes}
    loop = everything.train.model_copy(update=given)
    network = everything.network("three_cnn")
    model = network.model.model_copy(update={"width": 0.125, "dropout": 0.2})
    return network.model_copy(update={"model": model, "train": loop})


def recipe(chosen: NetworkSettings, seed: int = 7) -> Recipe:
    return build_recipe(chosen, coloured(64, 0), ["a", "b"], seed)


def data(images: Images | None = None, validation: Images | None = None) -> TrainingData:
    dataset = Dataset(["a", "b"], ["a", "b"], 16, "squash", 10**6)
    return TrainingData(images or coloured(64, 0), coloured(40, 1) if validation is None else validation, dataset)


def new(chosen: NetworkSettings) -> Run:
    """Before the first epoch."""
    return new_run(recipe(chosen), CPU)


def trained(
    tmp_path: Path, chosen: NetworkSettings, seed: int = 7, images: Images | None = None, execution: Execution = CPU
) -> tuple[Run, Rows]:
    logged: Rows = []
    run = new_run(recipe(chosen, seed), execution)
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt")
    train(run, data(images), checkpoint, lambda figures, epoch: logged.append((epoch, figures)))
    return run, logged


def weights(run: Run) -> dict[str, torch.Tensor]:
    return run.network.state_dict()


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.slow
@pytest.mark.parametrize("bf16", [False, True])
def test_learns(tmp_path: Path, bf16: bool) -> None:
    run, logged = trained(tmp_path, settings(epochs=8), execution=Execution("cpu", bf16))
    assert max(run.history.accuracies) >= 0.9
    assert [epoch for epoch, _ in logged] == list(range(1, 9))
    assert set(logged[0][1]) == {"train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "lr"}
    assert all(tensor.dtype != torch.bfloat16 for tensor in weights(run).values())


def test_float32_is_float32_in_training(tmp_path: Path) -> None:
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("high")
    trained(tmp_path, settings(epochs=1))
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.slow
def test_same_seed_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    runs = [trained(tmp_path / str(place), settings(), seed)[0] for place, seed in enumerate((7, 7, 8))]
    assert same(weights(runs[0]), weights(runs[1]))
    assert runs[0].history.rows == runs[1].history.rows
    assert not same(weights(runs[0]), weights(runs[2]))


@pytest.mark.slow
@pytest.mark.parametrize("stopped_after", [1, 2, 3])
@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "plateau", "patience": 0, "optimiser": "sgd", "momentum": 0.9},
        {"schedule": "one_cycle", "ema": 0.9, "mixup": 0.2, "cutmix": 1.0, "mix_p": 0.7, "clip": 1.0, "keep": "last"},
        {"swa": 0.8, "freeze": 1, "sampling": "balanced"},
        {"phases": [{"epochs": 2, "ema": 0.9}, {"epochs": 2, "schedule": "cosine"}]},
        {"augment_on": "device", "swa": 0.5},
        {"keep": "last", "validate_every": 3},
        {"clean_norm": True, "ema": 0.8, "phases": [{"epochs": 2}, {"epochs": 2}]},
    ],
)
def test_resumed_it_ends_as_an_unbroken_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    stopped_after: int,
) -> None:
    monkeypatch.setattr(checkpoints, "SHARE", math.inf)  # saved after each of these very short epochs
    chosen = settings(epochs=4, **changes)
    whole, _ = trained(tmp_path / "whole", chosen)

    class Stopped(Exception):
        pass

    def stop(figures: dict[str, float], epoch: int) -> None:
        if epoch == stopped_after:
            raise Stopped

    with pytest.raises(Stopped):
        train(new(chosen), data(), Checkpoint(tmp_path / "parts" / "checkpoint.pt"), stop)
    rest, logged = trained(tmp_path / "parts", chosen)
    assert f"three_cnn: continuing after epoch {stopped_after} of 4" in capsys.readouterr().out
    assert [epoch for epoch, _ in logged] == [1, 2, 3, 4]
    assert same(weights(whole), weights(rest))
    assert whole.history.rows == rest.history.rows


@pytest.mark.parametrize(
    "kind, deterministic, replaced", [("cuda", True, True), ("cuda", False, False), ("cpu", True, False)]
)
def test_pools_are_replaced_if_a_gpu_has_to_be_deterministic(
    kind: str, deterministic: bool, replaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Execution, "place", lambda self, network: network)  # there may be no GPU
    run = new_run(recipe(settings(deterministic=deterministic)), Execution(kind, bf16=False))
    assert any(isinstance(layer, RepeatablePool) for layer in run.network.modules()) == replaced


@pytest.mark.slow
def test_with_several_gpus_batch_norm_is_shared_and_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in networks of timm, where a layer is batch norm and activation."""
    monkeypatch.setattr(Execution, "place", lambda self, network: network)
    network = params.load(DEMO).network("timm")
    chosen = network.model_copy(update={"options": {"architecture": "timm:test_efficientnet", "weights": None}})
    images = torch.rand(4, 3, 16, 16)

    def logits(processes: int) -> torch.Tensor:
        monkeypatch.setattr(distributed, "world", lambda: processes)
        built = new_run(recipe(chosen), Execution("cuda", bf16=False)).network.eval()
        norms = [each for each in built.modules() if isinstance(each, torch.nn.modules.batchnorm._BatchNorm)]
        assert norms and all(isinstance(each, torch.nn.SyncBatchNorm) for each in norms) == (processes > 1)
        with torch.no_grad():
            return built(images)

    torch.testing.assert_close(logits(2), logits(1))


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = trained(tmp_path, settings(early_stopping=1, epochs=30))
    assert len(first.history.rows) < 30
    capsys.readouterr()
    again, _ = trained(tmp_path, settings(early_stopping=1, epochs=30))
    assert again.history.rows == first.history.rows
    assert "images/s" not in capsys.readouterr().out
    assert same(weights(first), weights(again))


@pytest.mark.slow
def test_keeps_the_weights_of_the_best_epoch(tmp_path: Path) -> None:
    noise = coloured(64, 0)
    noise = Images(noise.parts, np.random.default_rng(4).permutation(noise.labels))  # nothing to learn: ups and downs
    run, _ = trained(tmp_path, settings(epochs=8, lr=0.05), images=noise)
    best = max(run.history.accuracies)
    assert run.history.accuracies[-1] < best, "the case must have a worse last epoch"
    length = run.history.accuracies.index(best) + 1
    shorter, _ = trained(tmp_path / "shorter", settings(epochs=length, lr=0.05), images=noise)
    assert same(weights(run), weights(shorter))


@pytest.mark.slow
def test_keeps_the_weights_of_the_last_epoch(tmp_path: Path) -> None:
    noise = coloured(64, 0)
    noise = Images(noise.parts, np.random.default_rng(4).permutation(noise.labels))
    chosen = settings(epochs=8, lr=0.05, keep="last")
    run, _ = trained(tmp_path, chosen, images=noise)
    assert run.history.accuracies[-1] < max(run.history.accuracies), "the case must have a worse last epoch"
    assert run.history.kept_epoch == 8
    assert accuracy_of(run) == pytest.approx(run.history.accuracies[-1])


@pytest.mark.slow
def test_validation_of_some_epochs_changes_no_weight(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    phases = [{"epochs": 3}, {"epochs": 4, "ema": 0.8}]
    each, _ = trained(tmp_path / "each", settings(keep="last", phases=phases))
    capsys.readouterr()
    run, logged = trained(tmp_path / "some", settings(keep="last", phases=phases, validate_every=2))
    assert same(weights(each), weights(run)) and run.history.kept_epoch == 7
    # Each second epoch of a phase, and its last.
    told = [epoch for epoch, figures in logged if "validation_accuracy" in figures]
    assert told == [epoch for epoch, figures in logged if "validation_loss" in figures] == [2, 3, 5, 7]
    assert [row for row in each.history.rows if row["epoch"] in told] == [
        row for row in run.history.rows if row["epoch"] in told
    ]
    first, second, *_ = [line for line in capsys.readouterr().out.splitlines() if " epoch " in line]
    best = f"best {run.history.rows[1]['validation_accuracy']:.4f} in epoch 2"
    assert "validation" not in first and "best" not in first
    assert "· validation loss " in second and best in second
    with pytest.raises(InputError, match=r"infinite in epoch 1 \(train (nan|inf)\); lower train\.lr"):
        trained(tmp_path / "x", settings(optimiser="sgd", lr=1e30, keep="last", validate_every=2))


def accuracy_of(run: Run) -> float:
    """Of the network as it is now, on the validation images."""
    run.network.eval()
    held_out = coloured(40, 1)
    with torch.no_grad():
        logits = run.network(torch.from_numpy(held_out.parts[0]).permute(0, 3, 1, 2) / 255)
    return float((logits.argmax(1).numpy() == held_out.labels).mean())


def test_best_weights_are_of_the_accuracy_in_the_history(tmp_path: Path) -> None:
    run, _ = trained(tmp_path, settings(epochs=5, lr=0.02))
    assert accuracy_of(run) == pytest.approx(max(run.history.accuracies))


@pytest.mark.slow
def test_with_a_moving_average_it_is_what_is_validated_and_kept(tmp_path: Path) -> None:
    plain, _ = trained(tmp_path / "plain", settings(epochs=5, keep="last"))
    run, _ = trained(tmp_path / "average", settings(epochs=5, keep="last", ema=0.8))
    assert plain.average is None and run.average is not None
    assert same(weights(run), run.average.network.state_dict())
    assert accuracy_of(run) == pytest.approx(run.history.accuracies[-1])
    assert [row["train_loss"] for row in run.history.rows] == [row["train_loss"] for row in plain.history.rows]
    assert run.history.accuracies != plain.history.accuracies


def without_batch_statistics(**changes: Any) -> NetworkSettings:
    """Settings under which the images of a batch do not influence each other, and plain SGD."""
    chosen = settings(epochs=1, optimiser="sgd", momentum=0.0, **changes)
    return chosen.model_copy(update={"model": chosen.model.model_copy(update={"norm": "none", "dropout": 0.0})})


def test_accumulated_batches_are_one_large_batch(tmp_path: Path) -> None:
    large, _ = trained(tmp_path / "large", without_batch_statistics(batch_size=32))
    small, _ = trained(tmp_path / "small", without_batch_statistics(batch_size=8, accumulate=4))
    single, _ = trained(tmp_path / "single", without_batch_statistics(batch_size=8))
    for key, tensor in weights(large).items():
        torch.testing.assert_close(weights(small)[key], tensor, rtol=1e-4, atol=1e-6)
    assert not same(weights(small), weights(single))


def test_clipping_bounds_the_step(tmp_path: Path) -> None:
    # Plain SGD moves the weights by lr · gradient: by no more than lr · clip in all.
    moves = []
    for clip in (0.0, 0.01):
        chosen = without_batch_statistics(batch_size=64, clip=clip, lr=0.5, weight_decay=0.0)
        before = new(chosen)
        after, _ = trained(tmp_path / str(clip), chosen)
        pairs = zip(before.network.parameters(), after.network.parameters(), strict=True)
        moves.append(sum(float((new - old).detach().square().sum()) for old, new in pairs) ** 0.5)
    assert moves[1] == pytest.approx(0.5 * 0.01, rel=1e-3)
    assert moves[0] > 2 * moves[1]


class Fixed(torch.nn.Module):
    """The same logits for every image; its weight moves nothing."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.register_buffer("logits", torch.tensor(logits))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), -1) + 0 * self.weight


def test_losses_and_accuracies_by_hand() -> None:
    # Probabilities 0.8 and 0.2; three images of four are class 0.
    four = Images([np.zeros((4, 16, 16, 3), np.uint8)], np.array([0, 0, 1, 0]))
    network = Fixed(np.log(0.8), np.log(0.2))
    run = Run(recipe(settings(batch_size=2, label_smoothing=0.1)), network, CPU)
    with ThreadPoolExecutor(1) as pool:
        loss, accuracy = train_epoch(run, four, 1, pool, lambda count: None)
        validation_loss, validation_accuracy = validate(network, four, CPU, pool)
    low, high = -np.log(0.8), -np.log(0.2)
    assert (accuracy, validation_accuracy) == (0.75, 0.75)
    assert validation_loss == pytest.approx((3 * low + high) / 4)
    # Label smoothing 0.1 over two classes: target 0.95 for the label, 0.05 for the other.
    assert loss == pytest.approx((3 * (0.95 * low + 0.05 * high) + (0.95 * high + 0.05 * low)) / 4)


def test_validation_on_a_cpu_takes_few_images_at_a_time_with_the_same_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    run, images = new(settings()), coloured(100, 2)
    sizes: list[int] = []
    run.network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    with ThreadPoolExecutor(1) as pool:
        figures = validate(run.network, images, CPU, pool)
        assert sizes == [32, 32, 32, 4]
        monkeypatch.setattr(steps, "CPU_IMAGES", 100)
        assert validate(run.network, images, CPU, pool) == pytest.approx(figures, rel=1e-6)
    assert sizes[4:] == [100]


@pytest.mark.slow
def test_the_mean_of_the_last_epochs_is_kept(tmp_path: Path) -> None:
    # Constant weights after each epoch, by plain SGD whose epochs are the same with and without the averaging.
    def weights_after(epochs: int) -> dict[str, torch.Tensor]:
        chosen = settings(epochs=epochs, keep="last", optimiser="sgd", momentum=0.0)
        return weights(trained(tmp_path / str(epochs), chosen)[0])

    chosen = settings(epochs=4, optimiser="sgd", momentum=0.0, swa=0.5)
    run, _ = trained(tmp_path / "mean", chosen)
    third, fourth = weights_after(3), weights_after(4)
    for name, parameter in run.network.named_parameters():
        torch.testing.assert_close(parameter.detach(), (third[name] + fourth[name]) / 2)
    assert run.history.kept_epoch == 4
    # Batch norm's statistics are those of the mean's own layers, not the mean of statistics.
    buffers = {key for key, _ in run.network.named_buffers() if key.endswith("running_var")}
    assert buffers
    assert not any(torch.allclose(weights(run)[key], (third[key] + fourth[key]) / 2, rtol=1e-4) for key in buffers)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"keep": "last", "cutmix": 1.0, "ema": 0.8}, {"augment_on": "device"}, {"swa": 0.5}]
)
def test_batch_norm_of_clean_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    copies = coloured(32, 5)
    copies = Images([255 - copies.parts[0]], copies.labels)  # stored copies, whose colours differ
    train_images = coloured(64, 0)
    both = Images([*train_images.parts, *copies.parts], np.concatenate([train_images.labels, copies.labels]))
    plain, _ = trained(tmp_path / "plain", settings(**changes), images=both)
    run, _ = trained(tmp_path / "clean", settings(clean_norm=True, **changes), images=both)
    assert run.history.rows == plain.history.rows
    statistics = {name for name, _ in run.network.named_buffers() if "running" in name}
    assert statistics and not any(torch.equal(weights(run)[name], weights(plain)[name]) for name in statistics)
    assert all(torch.equal(weights(run)[name], value) for name, value in plain.network.named_parameters())
    # The input of the first batch norm needs no other statistics: it is a convolution of the images.
    norm = next(layer for layer in run.network.modules() if isinstance(layer, torch.nn.BatchNorm2d))
    seen: list[torch.Tensor] = []
    norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    with torch.no_grad():
        run.network(torch.from_numpy(train_images.parts[0]).permute(0, 3, 1, 2) / 255)
    torch.testing.assert_close(norm.running_mean, seen[0].mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    # The mean of four batches' variances leaves out what is between the batches.
    torch.testing.assert_close(norm.running_var, seen[0].var((0, 2, 3)), rtol=0.05, atol=0)
    told = re.findall(r"statistics of clean images: validation loss \S+ accuracy (\S+)", capsys.readouterr().out)
    assert told == [f"{accuracy_of(run):.4f}"]


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"swa": 0.5}, {"clean_norm": True}])
def test_frozen_epochs_train_the_head_alone(tmp_path: Path, changes: dict[str, Any]) -> None:
    def moved(freeze: int) -> set[str]:
        chosen = settings(epochs=2, keep="last", freeze=freeze, weight_decay=0.1, **changes)
        before = new(chosen).network.state_dict()
        after = weights(trained(tmp_path / str(freeze), chosen)[0])
        return {key.split(".")[0] for key in after if not torch.equal(before[key], after[key])}

    assert moved(2) == {"head"}
    everything = moved(0)
    assert len(everything) > 1
    assert moved(1) == everything


def test_a_body_counts_as_frozen_if_it_was_in_the_kept_epoch() -> None:
    run = new(settings(epochs=3, freeze=1))
    for accuracy, part in ((0.6, run.network.head), (0.5, run.network.head), (0.7, run.network)):
        run.history.rows.append({"validation_accuracy": accuracy})
        assert run.trained_part is part


@pytest.mark.slow
def test_a_network_without_a_head_cannot_be_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "build", lambda *given: Fixed(0.0, 1.0))
    with pytest.raises(InputError, match=r"^train\.freeze: three_cnn has no separate head to train; set it to 0$"):
        new(settings(freeze=1))


PHASES: list[dict[str, Any]] = [
    {"epochs": 2, "lr": 0.02, "transforms": {"flip": {"enabled": False}}},
    {"epochs": 3, "schedule": "cosine", "ema": 0.5},
]


@pytest.mark.slow
def test_phases_continue_from_the_kept_weights_with_a_fresh_optimiser(tmp_path: Path) -> None:
    run, logged = trained(tmp_path / "both", settings(phases=PHASES))
    transforms = [phase.batching.augmentation.transforms for phase in run.recipe.phases]
    first = settings(**PHASES[0] | {"transforms": transforms[0]})
    alone, _ = trained(tmp_path / "first", first)
    assert not transforms[0].flip.enabled and transforms[1].flip.enabled
    assert run.history.rows[:2] == alone.history.rows
    assert [row["epoch"] for row in run.history.rows] == [1, 2, 3, 4, 5] == [epoch for epoch, _ in logged]
    # lr of the first step of each epoch: its own for the first phase, a whole cosine for the second.
    assert [row["lr"] for row in run.history.rows] == pytest.approx([0.02, 0.02, 0.01, 0.0075, 0.0025])
    assert run.history.earlier == 2 and run.history.kept_epoch >= 3

    again = new(settings(phases=PHASES))
    again.history.rows, again.best_weights = run.history.rows[:2], alone.best_weights
    again.next_phase()
    assert same(weights(again), alone.best_weights) and not again.optimiser.state_dict()["state"]


def test_early_stopping_ends_a_phase(tmp_path: Path) -> None:
    noise = coloured(64, 0)
    noise = Images(noise.parts, np.random.default_rng(4).permutation(noise.labels))
    phases = [{"epochs": 30, "early_stopping": 2}, {"epochs": 1}]
    run, _ = trained(tmp_path, settings(phases=phases, lr=0.05), images=noise)
    first = [row["validation_accuracy"] for row in run.history.rows[:-1]]
    assert len(first) < 30 and len(first) == 1 + first.index(max(first)) + 2


@pytest.mark.slow
def test_augmented_on_the_device_it_learns_and_repeats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = settings(epochs=8, augment_on="device")
    run, _ = trained(tmp_path / "first", chosen)
    assert max(run.history.accuracies) >= 0.9
    assert "three_cnn: images are stored and augmented on cpu" in capsys.readouterr().out
    again, _ = trained(tmp_path / "again", chosen)
    assert same(weights(run), weights(again)) and run.history.rows == again.history.rows
    bf16, _ = trained(tmp_path / "bf16", settings(epochs=8, augment_on="device"), execution=Execution("cpu", True))
    assert max(bf16.history.accuracies) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    "sizes", [{"batch_size": 16}, {"batch_size": 9, "accumulate": 2}]
)  # 7 batches of 9: one is left
def test_training_is_the_same_on_either_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: dict[str, int]
) -> None:
    # With the transforms that are the same to the bit on a device. On a CPU `auto` means `cpu`.
    monkeypatch.setattr(batches, "GROUP_BYTES", 3 * sizes["batch_size"] * 16 * 16 * 3)
    shared = settings().train.transforms
    off = {name: getattr(shared, name).model_copy(update={"enabled": False}) for name in ("noise", "rescale")}
    same_bits = shared.model_copy(update=off)
    runs = [
        trained(tmp_path / place, settings(augment_on=place, transforms=same_bits, cutmix=1.0, **sizes))[0]
        for place in ("cpu", "device", "auto")
    ]
    assert runs[0].history.rows == runs[1].history.rows == runs[2].history.rows
    assert same(weights(runs[0]), weights(runs[1])) and same(weights(runs[0]), weights(runs[2]))
    noisy, _ = trained(tmp_path / "noisy", settings(augment_on="device", cutmix=1.0, **sizes))
    assert not same(weights(runs[0]), weights(noisy))


def test_the_first_and_the_last_epoch_are_saved_even_if_saving_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SHARE", 1e-9)
    epochs, save = [], Checkpoint.save

    def saved(self: Checkpoint, state: dict[str, Any]) -> None:
        epochs.append(len(state["history"]["rows"]))
        save(self, state)

    monkeypatch.setattr(Checkpoint, "save", saved)
    trained(tmp_path, settings(epochs=4))
    assert epochs == [1, 4]


@pytest.mark.slow
def test_interpolation_and_fill_reach_training(tmp_path: Path) -> None:
    shared = settings().train.transforms
    turned = {"rotation": shared.rotation.model_copy(update={"enabled": True, "p": 1.0})}
    off = {name: getattr(shared, name).model_copy(update={"enabled": False}) for name in ("noise", "rescale")}
    always = shared.model_copy(update=turned | off)
    seen = {
        (place, fill): trained(
            tmp_path / place / fill,
            settings(epochs=1, transforms=always, augment_on=place, interpolation="nearest", fill=fill),
        )[0]
        for place in ("cpu", "device")
        for fill in ("reflect", "black")
    }
    for fill in ("reflect", "black"):
        assert same(weights(seen["cpu", fill]), weights(seen["device", fill]))
    assert not same(weights(seen["cpu", "reflect"]), weights(seen["cpu", "black"]))


def test_a_transform_that_a_device_does_not_support(tmp_path: Path) -> None:
    shared = settings().train.transforms
    with_webp = shared.model_copy(update={"webp": shared.webp.model_copy(update={"enabled": True})})
    with pytest.raises(InputError, match=r"^train\.augment_on: webp works only on a CPU; set it to auto or cpu$"):
        trained(tmp_path, settings(augment_on="device", transforms=with_webp))
    assert len(trained(tmp_path, settings(epochs=1, transforms=with_webp))[0].history.rows) == 1


def test_a_batch_larger_than_the_train_split(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.batch_size: 65 is more than the 64 training images"):
        trained(tmp_path, settings(batch_size=65))
    with pytest.raises(InputError, match=r"train\.accumulate: 5 batches of 16 are more than the 64 training images"):
        trained(tmp_path, settings(batch_size=16, accumulate=5))


def test_no_validation_images(tmp_path: Path) -> None:
    nothing = Images([np.zeros((0, 16, 16, 3), np.uint8)], np.zeros(0, np.int64))
    with pytest.raises(
        InputError, match="the validation split has no images, so training cannot choose its best epoch"
    ):
        train(new(settings()), data(validation=nothing), Checkpoint(tmp_path / "x.pt"), lambda figures, epoch: None)


def test_a_loss_that_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"three_cnn: the loss became NaN or infinite in epoch 1 .* lower train.lr"):
        trained(tmp_path, settings(optimiser="sgd", lr=1e30))
    assert not (tmp_path / "checkpoint.pt").exists()


class Refused(torch.nn.Module):
    """Calls an operation that fails."""

    def __init__(self, operation: Callable[[], object]) -> None:
        super().__init__()
        self.operation, self.head = operation, torch.nn.Linear(1, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.operation()
        return self.head(images.mean((1, 2, 3))[:, None])


def no_memory() -> None:
    torch.empty(2**55)


def no_deterministic_form() -> None:
    torch.nn.functional.max_unpool2d(torch.rand(1, 1, 1, 1), torch.zeros(1, 1, 1, 1, dtype=torch.int64), 2)


@pytest.mark.parametrize(
    "operation, message",
    [
        (
            no_memory,
            "train.batch_size: not enough memory for three_cnn; lower it and raise train.accumulate",
        ),
        (
            no_deterministic_form,
            "train.deterministic: three_cnn uses max_unpooling2d_forward_out, which is not deterministic on",
        ),
    ],
)
def test_what_the_device_refuses_is_one_line(
    operation: Callable[[], object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "build", lambda *_: Refused(operation))
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(InputError, match=f"^{message}"):
            trained(tmp_path, settings())
    finally:
        torch.use_deterministic_algorithms(False)


def test_other_errors_of_torch_are_left_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "build", lambda *_: Refused(lambda: torch.zeros(2) @ torch.zeros(3)))
    with pytest.raises(RuntimeError, match="size"):
        trained(tmp_path, settings())


@pytest.mark.slow
def test_a_network_fits_its_input_to_train_images_before_training(tmp_path: Path) -> None:
    """Its averaged weights have the same fixed filters, and a run that continues too."""
    network = params.load(DEMO).network("trace_net")
    loop = settings(epochs=1, ema=0.9, keep="last").train
    chosen = network.model_copy(
        update={"model": network.model.model_copy(update={"width": 0.125}), "train": loop}
    ).model_copy(update={"options": {**network.options, "whitened_patches": True}})
    pixels = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    images = Images([pixels, 255 - pixels], np.arange(80) % 2)  # the second part: stored copies, which do not count
    started = new_run(build_recipe(chosen, images, ["a", "b"], 7), CPU, images)
    filters = started.network.state_dict()["patches.filters"].clone()
    expected = WhitenedPatches()
    expected.fit([torch.from_numpy(pixels).permute(0, 3, 1, 2).float()])
    torch.testing.assert_close(filters, expected.filters)
    dataset = Dataset(["a", "b"], ["a", "b"], 32, "squash", 10**6)
    train(started, TrainingData(images, images, dataset), Checkpoint(tmp_path / "c.pt"), lambda figures, epoch: None)
    assert torch.equal(started.best_weights["patches.filters"], filters)
    assert torch.equal(started.network.state_dict()["patches.filters"], filters)
