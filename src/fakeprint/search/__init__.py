"""Hyperparameter search: ranges over paths of params.yaml, each trial scored on folds of the train images.

The validation and test images are never opened, so that a figure on them stays one of images that nothing was chosen
on. `space` reads the file, `trials` draws values and keeps outcomes, `scoring` trains and scores.
"""
