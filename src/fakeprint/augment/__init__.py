"""Augmentation: one definition of each transform, used offline and in training."""
