"""The loop: what it learns, what it keeps, what it repeats."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.params import NetworkSettings
from fakeprint.training.checkpoints import Checkpoint
from fakeprint.training.device import Execution
from fakeprint.training.images import Images
from fakeprint.training.loop import Run, start, train, train_epoch, validate

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
    everything = params.load()
    given = {"epochs": 3, "batch_size": 16, "lr": 0.01, "schedule": "none", "early_stopping": 0, **changes}
    loop = everything.train.model_copy(update=given)
    network = everything.network("three_cnn")
    model = network.model.model_copy(update={"width": 0.125, "dropout": 0.2})
    return network.model_copy(update={"model": model, "train": loop})


def trained(
    tmp_path: Path, chosen: NetworkSettings, seed: int = 7, images: Images | None = None, execution: Execution = CPU
) -> tuple[Run, Rows]:
    logged: Rows = []
    run = start(chosen, images or coloured(64, 0), 2, seed, execution)
    kept = Checkpoint(tmp_path / "checkpoint.pt")
    log = lambda figures, epoch: logged.append((epoch, figures))  # noqa: E731
    train(run, chosen, images or coloured(64, 0), coloured(40, 1), seed, execution, kept, log)
    return run, logged


def weights(run: Run) -> dict[str, torch.Tensor]:
    return run.network.state_dict()


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("bf16", [False, True])
def test_learns(tmp_path: Path, bf16: bool) -> None:
    run, logged = trained(tmp_path, settings(epochs=8), execution=Execution("cpu", bf16))
    assert max(run.accuracies) >= 0.9
    assert [epoch for epoch, _ in logged] == list(range(1, 9))
    assert set(logged[0][1]) == {"train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "lr"}
    assert all(tensor.dtype != torch.bfloat16 for tensor in weights(run).values())


def test_same_seed_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    runs = [trained(tmp_path / str(place), settings(), seed)[0] for place, seed in enumerate((7, 7, 8))]
    assert same(weights(runs[0]), weights(runs[1]))
    assert runs[0].history == runs[1].history
    assert not same(weights(runs[0]), weights(runs[2]))


def test_in_two_goes_as_in_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = settings(epochs=4, schedule="plateau", patience=0, optimiser="sgd", momentum=0.9)
    whole, _ = trained(tmp_path / "whole", chosen)

    class Stopped(Exception):
        pass

    def stop(figures: dict[str, float], epoch: int) -> None:
        if epoch == 2:
            raise Stopped

    kept = Checkpoint(tmp_path / "parts" / "checkpoint.pt")
    with pytest.raises(Stopped):
        run = start(chosen, coloured(64, 0), 2, 7, CPU)
        train(run, chosen, coloured(64, 0), coloured(40, 1), 7, CPU, kept, stop)
    rest, logged = trained(tmp_path / "parts", chosen)
    assert "three_cnn: going on after epoch 2 of 4" in capsys.readouterr().out
    assert [epoch for epoch, _ in logged] == [1, 2, 3, 4]
    assert same(weights(whole), weights(rest))
    assert whole.history == rest.history


def test_a_finished_run_is_not_trained_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = trained(tmp_path, settings(early_stopping=1, epochs=30))
    assert len(first.history) < 30
    capsys.readouterr()
    again, _ = trained(tmp_path, settings(early_stopping=1, epochs=30))
    assert again.history == first.history
    assert "images/s" not in capsys.readouterr().out
    assert same(weights(first), weights(again))


def test_keeps_the_weights_of_the_best_epoch(tmp_path: Path) -> None:
    noise = coloured(64, 0)
    noise = Images(noise.parts, np.random.default_rng(4).permutation(noise.labels))  # nothing to learn: ups and downs
    run, _ = trained(tmp_path, settings(epochs=8, lr=0.05), images=noise)
    best = max(run.accuracies)
    assert run.accuracies[-1] < best, "the case must have a worse last epoch"
    length = run.accuracies.index(best) + 1
    shorter, _ = trained(tmp_path / "shorter", settings(epochs=length, lr=0.05), images=noise)
    assert same(weights(run), weights(shorter))


def test_best_weights_are_of_the_accuracy_in_the_history(tmp_path: Path) -> None:
    run, _ = trained(tmp_path, settings(epochs=5, lr=0.02))
    run.network.eval()
    held_out = coloured(40, 1)
    with torch.no_grad():
        logits = run.network(torch.from_numpy(held_out.parts[0]).permute(0, 3, 1, 2) / 255)
    accuracy = (logits.argmax(1).numpy() == held_out.labels).mean()
    assert accuracy == pytest.approx(max(run.accuracies))


class Fixed(torch.nn.Module):
    """The same logits for every image; its weight moves nothing."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.register_buffer("logits", torch.tensor(logits))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), -1) + 0 * self.weight


def test_losses_and_accuracies_by_hand() -> None:
    from concurrent.futures import ThreadPoolExecutor

    # Probabilities 0.8 and 0.2; three images of four are class 0.
    four = Images([np.zeros((4, 16, 16, 3), np.uint8)], np.array([0, 0, 1, 0]))
    network = Fixed(np.log(0.8), np.log(0.2))
    chosen = settings(batch_size=2, label_smoothing=0.1)
    run = start(chosen, coloured(64, 0), 2, 7, CPU)
    run.network = network
    with ThreadPoolExecutor(1) as pool:
        loss, accuracy = train_epoch(run, chosen, four, 7, 1, CPU, pool, lambda count: None)
        validation_loss, validation_accuracy = validate(network, four, CPU, pool)
    low, high = -np.log(0.8), -np.log(0.2)
    assert (accuracy, validation_accuracy) == (0.75, 0.75)
    assert validation_loss == pytest.approx((3 * low + high) / 4)
    # Label smoothing 0.1 over two classes: target 0.95 for the label, 0.05 for the other.
    assert loss == pytest.approx((3 * (0.95 * low + 0.05 * high) + (0.95 * high + 0.05 * low)) / 4)


def test_a_batch_larger_than_the_train_split(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.batch_size: 65 is more than the 64 training images there are"):
        trained(tmp_path, settings(batch_size=65))


def test_no_validation_images(tmp_path: Path) -> None:
    chosen = settings()
    run = start(chosen, coloured(64, 0), 2, 7, CPU)
    nothing = Images([np.zeros((0, 16, 16, 3), np.uint8)], np.zeros(0, np.int64))
    kept = Checkpoint(tmp_path / "x.pt")
    with pytest.raises(InputError, match="the validation split holds no images"):
        train(run, chosen, coloured(64, 0), nothing, 7, CPU, kept, lambda figures, epoch: None)


def test_a_loss_that_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"three_cnn: the loss is no longer a number in epoch 1 .* lower train.lr"):
        trained(tmp_path, settings(optimiser="sgd", lr=1e30))
    assert not (tmp_path / "checkpoint.pt").exists()
