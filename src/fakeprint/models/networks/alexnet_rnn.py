"""AlexNet whose fully connected layers are replaced by recurrent ones over rows and columns (system E).

Its publication gives the idea; the layers are ours. The 6×6 maps of AlexNet's convolutions, 256 channels, are read by
two LSTMs (Hochreiter and Schmidhuber 1997) or GRUs (Cho et al. 2014): one from the top row to the bottom, with the
6·256 numbers of a row per step, one from the left column to the right. Both last states go through dropout and one
dense layer. With LSTMs of 256 units and five classes it has 6,146,373 parameters.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from fakeprint.models.networks import Design
from fakeprint.models.networks.layers import head_dropout
from fakeprint.models.networks.library import LibraryNetwork, library_network

CHANNELS, SIDE = 256, 6  # of the maps that AlexNet's convolutions and average pool give


def build(
    design: Design, cell: Literal["lstm", "gru"] = "lstm", hidden: int = 256, weights: str | None = None
) -> LibraryNetwork:
    """AlexNet with recurrent layers of `hidden` units, for images of 63 pixels per side or more."""
    head = RowsAndColumns(design, cell, hidden)
    return library_network(design, "alexnet_rnn", "torchvision:alexnet", weights, head=head, cut="classifier")


class RowsAndColumns(nn.Module):
    """AlexNet's maps, flattened (N, 9216) → logits (N, classes)."""

    def __init__(self, design: Design, cell: str, hidden: int) -> None:
        super().__init__()
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        self.rows = kind(CHANNELS * SIDE, hidden, batch_first=True)
        self.columns = kind(CHANNELS * SIDE, hidden, batch_first=True)
        self.last = nn.Sequential(head_dropout(design), nn.Linear(2 * hidden, design.classes))

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, classes)."""
        maps = features.unflatten(1, (CHANNELS, SIDE, SIDE))
        rows, _ = self.rows(maps.permute(0, 2, 1, 3).flatten(2))
        columns, _ = self.columns(maps.permute(0, 3, 1, 2).flatten(2))
        logits: Tensor = self.last(torch.cat([rows[:, -1], columns[:, -1]], dim=1))
        return logits
