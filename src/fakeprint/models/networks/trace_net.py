"""TraceNet: a residual network of our own for small forensic images, trained from scratch.

Generators leave traces a few pixels wide, so the first residual stage sees the image at full resolution, and beside
red, green and blue it gets their residuals after high-pass filters, truncated as those of SPAM and SRM (Fridrich and
Kodovský 2012; learned from such input: Bayar and Stamm 2016). Then come five stages of residual blocks (He et al.
2016), 32–64–128–256–384 channels, each followed by a max pool.

Six options go beyond this: residuals of the colour differences R − G and B − G; co-occurrences of the residuals (Pevný,
Bas and Fridrich 2010), counted beside the convolutions; whitened patches of the train images (Coates and Ng 2012), a
fixed layer that treats frequent and rare structures alike; statistics pooling, the mean and standard deviation of every
stage's maps (Snyder et al. 2018); covariance pooling of the second stage's (Li et al. 2018, "Towards Faster Training of
Global Covariance Pooling Networks by Iterative Matrix Square Root Normalization"); and space to depth, where the pixels
of each 2×2 block become channels of one place (Shi et al. 2016, in the other direction). The first stage then works at
half the resolution and has no pool of its own, which is faster.

At width 1, with its defaults and five classes it has 3,543,365 parameters. Sides of its maps on 100×100 images before
each pool: 100, 50, 25, 12, 6.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from fakeprint.errors import InputError
from fakeprint.models.networks import Design
from fakeprint.models.networks.layers import (
    HSVHistogram,
    Input,
    activation,
    block_dropout,
    gather,
    head_dropout,
    norm,
    scaled,
)

CHANNELS = (32, 64, 128, 256, 384)
PATCH = 27  # numbers of a 3×3 patch of three colours
PAIRED = 1  # the stage, from 0, whose maps covariance pooling takes: 25 × 25 of 100 × 100 pixels
COVARIANCE_CHANNELS = 64  # that its covariance is of, at width 1
BRANCH = 64  # features of a branch beside the convolutions, at width 1: colours, co-occurrences
SMALLEST = 2 ** len(CHANNELS)  # pixels per side of which one is left after all pools


def build(
    design: Design,
    high_pass: bool = True,
    histogram_bins: int = 0,
    blocks: int = 1,
    colour_residuals: bool = False,
    pooling: str = "average",
    space_to_depth: bool = False,
    stem_channels: int = CHANNELS[0],
    whitened_patches: bool = False,
    cooccurrences: bool = False,
) -> "TraceNet":
    """TraceNet. high_pass: whether it sees filtered channels beside the image. histogram_bins: per channel, of an HSV
    histogram beside the pooled maps; 0 = none. blocks: residual blocks per stage. colour_residuals: whether it also
    sees the filtered differences of colours. pooling: what the head gets, "average" (the mean of each of the last
    stage's maps), "statistics" (mean and standard deviation of each map of every stage) or "covariance" (the average,
    and the square root of the covariance of the second stage's maps). whitened_patches: whether it also sees those.
    cooccurrences: whether the head also gets those of the residuals.

    Raises InputError for images below 32 pixels per side, and for statistics of maps that the head flattens.
    """
    if design.side < SMALLEST:
        raise InputError(
            f"prepare.image_size: trace_net needs images of at least {SMALLEST} pixels per side, not {design.side}; "
            "set models.trace_net.input_size to scale them up"
        )
    if pooling == "statistics" and design.head == "flatten":
        raise InputError(
            "models.trace_net.pooling: statistics pools the maps, and head: flatten keeps them; remove one of the two"
        )
    options = (colour_residuals, pooling, space_to_depth, stem_channels, whitened_patches, cooccurrences)
    return TraceNet(design, high_pass, histogram_bins, blocks, *options)


class TraceNet(nn.Module):
    """Images (N, 3, H, W) in [0, 1] → logits (N, classes)."""

    def __init__(
        self,
        design: Design,
        high_pass: bool,
        histogram_bins: int,
        blocks: int,
        colour_residuals: bool,
        pooling: str,
        space_to_depth: bool,
        stem_channels: int,
        whitened_patches: bool,
        cooccurrences: bool,
    ) -> None:
        super().__init__()
        channels = [scaled(count, design.width) for count in (stem_channels, *CHANNELS[1:])]
        self.input = Input(design)
        self.high_pass = HighPass(colour_residuals) if high_pass else None
        self.patches = WhitenedPatches() if whitened_patches else None
        seen = 3 + (self.high_pass.channels if self.high_pass else 0) + (PATCH if self.patches else 0)
        self.block_side = 2 if space_to_depth else 1
        self.stem = nn.Sequential(
            nn.Conv2d(self.block_side**2 * seen, channels[0], 3, padding=1, bias=False),
            norm(design, channels[0]),
            activation(design),
        )
        self.stages = nn.Sequential()
        for number, (inputs, outputs) in enumerate(zip([channels[0], *channels], channels, strict=False)):
            stage = [Residual(design, inputs if place == 0 else outputs, outputs) for place in range(blocks)]
            pool = [] if number == 0 and space_to_depth else [nn.MaxPool2d(2)]
            self.stages.append(nn.Sequential(*stage, *pool, *block_dropout(design)))
        self.gather = None if pooling == "statistics" else gather(design, "pool", side=0)
        self.covariance = CovariancePool(design, channels[PAIRED]) if pooling == "covariance" else None
        places = (design.side // SMALLEST) ** 2 if design.head == "flatten" else 1
        pooled = channels[-1] * places if self.gather else 2 * sum(channels)
        pooled += self.covariance.features if self.covariance else 0
        branch = scaled(BRANCH, design.width)
        self.colours = (
            nn.Sequential(HSVHistogram(histogram_bins), nn.Linear(3 * histogram_bins, branch), activation(design))
            if histogram_bins
            else None
        )
        counted = Cooccurrences.features(self.high_pass.channels) if self.high_pass and cooccurrences else 0
        self.cooccurrences = (
            nn.Sequential(Cooccurrences(), nn.BatchNorm1d(counted), nn.Linear(counted, branch), activation(design))
            if counted
            else None
        )
        pooled += branch * (bool(self.colours) + bool(self.cooccurrences))
        self.head = nn.Sequential(head_dropout(design), nn.Linear(pooled, design.classes))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        images = self.input.scaled(images)
        residuals = [self.high_pass(images)] if self.high_pass else []
        patches = [self.patches(images)] if self.patches else []
        seen = torch.cat([self.input.normalised(images), *residuals, *patches], dim=1)
        if self.block_side > 1:
            seen = in_blocks(seen, self.block_side)
        features = [self._pooled(self.stem(seen))]
        if self.colours:
            features.append(self.colours(images))
        if self.cooccurrences:
            features.append(self.cooccurrences(residuals[0]))
        logits: Tensor = self.head(torch.cat(features, dim=1))
        return logits

    def fit_input(self, images: Tensor) -> None:
        """Fit what is fixed from then on, before training. images: uint8 (N, 3, H, W), a sample of the train images."""
        if self.patches:
            # As the layer sees them; a few at a time, since scaled they may be large.
            self.patches.fit(self.input.scaled(few.float()) for few in images.split(64))

    def _pooled(self, maps: Tensor) -> Tensor:
        """From the stem's maps to features (N, D)."""
        pooled = []
        for number, stage in enumerate(self.stages):
            maps = stage(maps)
            if self.covariance and number == PAIRED:
                pooled.append(self.covariance(maps))
            if not self.gather:
                pooled.append(map_statistics(maps))
        if self.gather:
            pooled.append(self.gather(maps))
        return torch.cat(pooled, dim=1)


def in_blocks(maps: Tensor, side: int) -> Tensor:
    """Space to depth: (N, C, H, W) → (N, side²·C, H // side, W // side), channels last; what is over is cut off."""
    height, width = (length // side * side for length in maps.shape[2:])
    blocks = nn.functional.pixel_unshuffle(maps[:, :, :height, :width], side)
    return blocks.contiguous(memory_format=torch.channels_last)


def map_statistics(maps: Tensor) -> Tensor:
    """Mean and standard deviation of each map: (N, C, H, W) → float32 (N, 2C), all means first.

    1e-5, as in batch norm, is added to the variance, so that the gradient of a constant map's deviation is finite.
    """
    variance, mean = torch.var_mean(maps.float(), dim=(2, 3), correction=0)
    return torch.cat([mean, (variance + 1e-5).sqrt()], dim=1)


class CovariancePool(nn.Module):
    """Maps (N, inputs, H, W) → float32 (N, features): the upper triangle of the covariance's square root.

    A 1×1 convolution first reduces the maps to 64 channels at width 1. Means forget how channels vary together,
    although second-order statistics of residuals tell generators apart well. Covariances have few large eigenvalues;
    their square root evens these out.
    """

    triangle: Tensor

    def __init__(self, design: Design, inputs: int) -> None:
        super().__init__()
        channels = scaled(COVARIANCE_CHANNELS, design.width)
        self.reduce = nn.Sequential(
            nn.Conv2d(inputs, channels, 1, bias=False), norm(design, channels), activation(design)
        )
        self.features = channels * (channels + 1) // 2
        self.register_buffer("triangle", torch.triu_indices(channels, channels), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Pool. Computed in float32 under autocast too."""
        reduced = self.reduce(maps)
        with torch.autocast(maps.device.type, enabled=False):
            roots = square_root(covariance(reduced.float()))
        return roots[:, self.triangle[0], self.triangle[1]]


def covariance(maps: Tensor) -> Tensor:
    """Covariance of the channels over the places: (N, C, H, W) → (N, C, C)."""
    flat = maps.flatten(2)
    centred = flat - flat.mean(2, keepdim=True)
    return centred @ centred.mT / flat.shape[2]


def square_root(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Approximate square roots of positive semidefinite matrices (N, C, C), by coupled Newton–Schulz iterations.

    They need matrix products only, so gradients are cheap and stable, unlike those of eigenvalues. A matrix is divided
    by its trace first, for convergence; small eigenvalues converge slowly and come out a little too small (Higham 2008,
    equation 6.35).
    """
    trace = matrices.diagonal(dim1=1, dim2=2).sum(1).clamp_min(1e-12)[:, None, None]
    identity = torch.eye(matrices.shape[1], dtype=matrices.dtype, device=matrices.device)
    root, inverse = matrices / trace, identity.expand_as(matrices)
    for _ in range(iterations):
        factor = (3 * identity - inverse @ root) / 2
        root, inverse = root @ factor, factor @ inverse
    return root * trace.sqrt()


class Residual(nn.Module):
    """Two 3×3 convolutions and a shortcut, 1×1 if the number of channels changes (He et al. 2016)."""

    def __init__(self, design: Design, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            norm(design, outputs),
            activation(design),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            norm(design, outputs),
        )
        self.shortcut = (
            nn.Identity()
            if inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), norm(design, outputs))
        )
        self.activation = activation(design)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, inputs, H, W) → (N, outputs, H, W)."""
        out: Tensor = self.activation(self.body(maps) + self.shortcut(maps))
        return out


class HighPass(nn.Module):
    """Images (N, 3, H, W) in [0, 1] → (N, channels, H, W) in [−1, 1]: three residuals of each channel, truncated.

    First differences to the right and down and a quarter of SRM's 3×3 kernel "KB" (−1 2 −1 / 2 −4 2 / −1 2 −1), in grey
    levels, clipped at ±`LIMIT` and divided by it. The image is mirrored at its edges.

    Computed as sums of slices in float32 on every device: for whole grey levels each residual is exact, whereas a
    convolution would round the image to bfloat16, or to TF32 on a GPU.
    """

    LIMIT = 8.0  # grey levels of 255

    def __init__(self, colours: bool = False) -> None:
        """colours: whether the residuals of R − G and B − G, truncated in the same way, follow those of R, G and B."""
        super().__init__()
        self.colours = colours
        self.channels = 15 if colours else 9

    def forward(self, images: Tensor) -> Tensor:
        """Filter and truncate."""
        count, _, height, width = images.shape
        levels = images.float() * (255 / self.LIMIT)  # in units of the limit: (k / 255) · (255 / 8) is k / 8 in float32
        # Rows of 3·(W + 2) numbers, as a channels-last image is stored: a pixel is 3 numbers wide.
        wide = nn.functional.pad(levels, (1, 1, 1, 1), mode="reflect").permute(0, 2, 3, 1).flatten(2)
        rows = wide[:, 1:-1]
        current, following = rows[:, :, 3:-3], rows[:, :, 6:]
        # The kernel is a second difference, (−1 2 −1), along rows of second differences along columns.
        curved = 2 * rows - wide[:, :-2] - wide[:, 2:]
        residuals = levels.new_empty((count, height, 3 * width, 3))
        residuals[..., 0] = following - current
        residuals[..., 1] = wide[:, 2:, 3:-3] - current
        residuals[..., 2] = (curved[:, :, :-6] + curved[:, :, 6:] - 2 * curved[:, :, 3:-3]) / 4
        flat = residuals.view(count, height, width, 9)
        if self.colours:  # a filter's residual of a difference is the difference of its residuals
            red, green, blue = flat.split(3, dim=3)
            flat = torch.cat([flat, red - green, blue - green], dim=3)
        return flat.clamp_(-1, 1).permute(0, 3, 1, 2)


class Cooccurrences(nn.Module):
    """Residuals (N, C, H, W) of `HighPass` → float32 (N, features): the square root of each pattern's frequency.

    Residuals are rounded to whole grey levels and truncated at ±`LIMIT`. Patterns are of three: neighbours along rows,
    neighbours along columns, and, per filter, red, green and blue at one pixel. No gradient flows through them.
    """

    LIMIT = 2  # grey levels
    LEVELS = 2 * LIMIT + 1
    PATTERNS = LEVELS**3

    @classmethod
    def features(cls, channels: int) -> int:
        """How many frequencies come of so many channels of residuals."""
        return cls.PATTERNS * (2 * channels + 3)

    @torch.no_grad()
    def forward(self, residuals: Tensor) -> Tensor:
        """Count."""
        rounded = (residuals * HighPass.LIMIT).round_().clamp_(-self.LIMIT, self.LIMIT).add_(self.LIMIT)
        # Plane by plane, as they are counted, which is faster than channels last.
        levels = rounded.to(torch.uint8, memory_format=torch.contiguous_format)
        red, green, blue = levels[:, 0:3], levels[:, 3:6], levels[:, 6:9]
        triples = [
            (levels[..., :-2], levels[..., 1:-1], levels[..., 2:]),
            (levels[..., :-2, :], levels[..., 1:-1, :], levels[..., 2:, :]),
            (red, green, blue),
        ]
        patterns = [
            (first * self.LEVELS).add_(second).mul_(self.LEVELS).add_(third) for first, second, third in triples
        ]
        return torch.cat([self._frequencies(each) for each in patterns], dim=1).sqrt()

    def _frequencies(self, patterns: Tensor) -> Tensor:
        """uint8 (N, C, H, W), below `PATTERNS` → (N, C · PATTERNS); those of one channel sum to one."""
        images, channels, height, width = patterns.shape
        tables = torch.arange(images * channels, dtype=torch.int32, device=patterns.device)
        places = patterns.int().add_(self.PATTERNS * tables.view(images, channels, 1, 1)).flatten()
        # Exact, as an image has fewer than 2^24 pixels. Unlike `bincount`, it does not make the host wait for a GPU.
        counts = torch.zeros(images * channels * self.PATTERNS, device=patterns.device)
        counts.index_add_(0, places, counts.new_ones(1).expand(len(places)))
        return counts.view(images, channels * self.PATTERNS) / (height * width)


class WhitenedPatches(nn.Module):
    """Images (N, 3, H, W) in [0, 1] → (N, 27, H, W) in [−1, 1]: patches of 3×3 pixels in their principal axes.

    The axes and their standard deviations are those of the patches of train images, in grey levels. Along each axis the
    deviation is 1, then truncated at ±`LIMIT` and divided by it. Weak axes are high-pass filters, also of differences
    of colours. The image is mirrored at its edges.
    """

    LIMIT = 3.0  # standard deviations
    LEAST = 0.1  # variance that is added to that of each axis, in squared grey levels: images are rounded to whole ones
    filters: Tensor
    offsets: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filters", torch.zeros(PATCH, 3, 3, 3))
        self.register_buffer("offsets", torch.zeros(PATCH))

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Find the axes. batches: float (N, 3, H, W), in grey levels. The largest weight of each filter is positive."""
        count, total, squares = 0, torch.zeros(PATCH).double(), torch.zeros(PATCH, PATCH).double()
        for images in batches:
            patches = nn.functional.unfold(images, 3).transpose(0, 1).flatten(1).double()
            count += patches.shape[1]
            total += patches.sum(1)
            squares += patches @ patches.T
        mean = total / count
        variances, axes = torch.linalg.eigh(squares / count - mean.outer(mean))
        filters = (axes / (variances.clamp_min(0) + self.LEAST).sqrt()).T
        largest = filters.gather(1, filters.abs().argmax(1, keepdim=True))
        filters = filters * largest.sign()
        self.filters.copy_(filters.view(PATCH, 3, 3, 3))
        self.offsets.copy_(-filters @ mean)

    def forward(self, images: Tensor) -> Tensor:
        """Filter and truncate, in float32 under autocast too."""
        with torch.autocast(images.device.type, enabled=False):
            wide = nn.functional.pad(images.float() * 255, (1, 1, 1, 1), mode="reflect")
            whitened = nn.functional.conv2d(wide, self.filters, self.offsets)
        return (whitened / self.LIMIT).clamp(-1, 1)
