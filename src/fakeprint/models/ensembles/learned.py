"""The learned ensemble (system C, UniBuc challenge): a small network that weights the frozen members for each image."""

import torch
from torch import Tensor, nn

WEIGHTS_UNITS = 16
META_UNITS = 32


class EnsembleHead(nn.Module):
    """Probabilities of M members → probabilities of the ensemble; the members themselves are not trained.

    Two heads read the members' concatenated probabilities (M·C numbers): the weights head (dense 16, ReLU, dense M,
    softmax) gives each member's weight for this image, the meta head (dense 32, ReLU, dropout, dense C, softmax)
    predicts the class directly. The publication blends both "by confidence" without the formula. Here confidence is the
    highest probability of the weighted average, c, and the result is c · average + (1 − c) · meta: the less confident
    the members are together, the more the meta head counts. With two members and five classes it has 727 parameters.
    """

    def __init__(self, members: int, classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        numbers = members * classes
        self.weights = nn.Sequential(nn.Linear(numbers, WEIGHTS_UNITS), nn.ReLU(), nn.Linear(WEIGHTS_UNITS, members))
        self.meta = nn.Sequential(
            nn.Linear(numbers, META_UNITS), nn.ReLU(), nn.Dropout(dropout), nn.Linear(META_UNITS, classes)
        )

    def member_weights(self, member_probabilities: Tensor) -> Tensor:
        """The weight of each member for each image, (N, M), rows that sum to 1; probabilities as in `forward`."""
        return torch.softmax(self.weights(member_probabilities.flatten(1)), dim=1)

    def forward(self, member_probabilities: Tensor) -> Tensor:
        """Probabilities (N, C), rows that sum to 1, of the members' float (N, M, C), rows that sum to 1 too."""
        weights = self.member_weights(member_probabilities)
        average = (weights.unsqueeze(2) * member_probabilities).sum(1)
        confidence = average.amax(1, keepdim=True)
        meta = torch.softmax(self.meta(member_probabilities.flatten(1)), dim=1)
        return confidence * average + (1 - confidence) * meta
