"""Hyperparameter search: ranges over paths of params.yaml, each trial scored on folds of the train images.

Nothing is chosen on the validation and test images: a search never opens them, so figures on them stay unbiased.
`space` reads the search's file, `trials` draws values and stores outcomes, `scoring` trains and scores. `storage` is
what several processes share, `running` starts them, and `worker` is one of them.
"""
