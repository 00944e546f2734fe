"""Averages of weights, against values worked out by hand."""

import pytest
import torch

from fakeprint.training.averaging import Averaging, EpochMean, MovingAverage, copied, recompute_batch_norm


class Counted(torch.nn.Module):
    """One weight, a table and a counter, as networks have them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.norm = torch.nn.BatchNorm1d(1)
        self.register_buffer("table", torch.tensor([1044480], dtype=torch.int32), persistent=False)


def test_the_moving_average_of_each_step() -> None:
    network = Counted()
    average = MovingAverage(network, 0.15)
    seen = []
    for value in (1.0, 2.0, 3.0):
        with torch.no_grad():
            network.weight.fill_(value)
            network.norm.running_mean.fill_(value)
        network.norm.num_batches_tracked += 1
        average.update()
        seen.append(average.network.weight.item())
    # Decays 1/10, min(0.15, 2/11), min(0.15, 3/12).
    first = 0.9 * 1
    second = 0.15 * first + 0.85 * 2
    assert seen == pytest.approx([first, second, 0.15 * second + 0.85 * 3])
    assert average.network.norm.running_mean.item() == pytest.approx(seen[-1])
    assert average.network.norm.num_batches_tracked.item() == 3
    assert average.network.table.item() == 1044480
    assert network.weight.item() == 3.0


def test_an_average_continues_from_its_state() -> None:
    networks = Counted(), Counted()
    averages = [MovingAverage(network, 0.5) for network in networks]
    with torch.no_grad():
        for network in networks:
            network.weight.fill_(1.0)
    averages[0].update()
    averages[1].load_state_dict(averages[0].state_dict())
    for average in averages:
        average.update()
    assert averages[0].network.weight.item() == averages[1].network.weight.item() != 1.0


def test_the_mean_of_epochs() -> None:
    states = [{"weight": torch.tensor([value]), "count": torch.tensor(int(value))} for value in (1.0, 2.0, 6.0)]
    whole, resumed = EpochMean(), EpochMean()
    for state in states[:2]:
        whole.add(state)
    resumed.load_state_dict(whole.state_dict())
    for mean in (whole, resumed):
        mean.add(states[2])
        assert mean.weights["weight"].item() == pytest.approx(3.0)
        assert mean.weights["count"].item() == 6
        assert mean.count == 3


@pytest.mark.parametrize(("swa", "epochs"), [(0.0, []), (0.1, [4]), (0.5, [3, 4]), (0.9, [1, 2, 3, 4])])
def test_which_epochs_are_averaged(swa: float, epochs: list[int]) -> None:
    assert [epoch for epoch in range(1, 5) if Averaging(swa=swa).includes(epoch, 4)] == epochs


def test_batch_norm_gets_the_statistics_of_its_batches() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.BatchNorm2d(3))
    batches = [torch.randn(64, 3, 8, 8) * 2 + 5 for _ in range(4)]
    network(torch.zeros(4, 3, 8, 8))
    recompute_batch_norm(network, batches)
    norm = network[1]
    images = torch.cat(batches)
    torch.testing.assert_close(norm.running_mean, images.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, images.var((0, 2, 3)), rtol=0.02, atol=0)
    assert norm.momentum == 0.1


def test_copied_weights_are_the_same_in_the_same_layout_and_not_shared() -> None:
    layers = [torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Conv2d(8, 8, 1)]
    network = torch.nn.Sequential(*layers).to(memory_format=torch.channels_last)
    network.register_buffer("view", torch.arange(12.0).view(3, 4).T)
    state = network.state_dict()
    assert not state["0.weight"].is_contiguous()
    kept = copied(network)
    assert kept.keys() == state.keys()
    for key, tensor in state.items():
        assert torch.equal(kept[key], tensor)
        assert (kept[key].stride(), kept[key].dtype) == (tensor.stride(), tensor.dtype), key
        assert kept[key].device.type == "cpu" and not kept[key].requires_grad
        assert kept[key].data_ptr() != tensor.data_ptr()
