"""From a model's probabilities to an answer that can be defended: calibration. Nothing here imports torch."""
