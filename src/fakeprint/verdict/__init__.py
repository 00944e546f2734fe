"""From a model's probabilities to an answer that can be defended; docs/verdict.md explains it. Nothing imports torch.

`calibration` and `calibrated` serve all models; `certificate`, `conformal`, `selective`, `deciding` and `decision` the
champion's answers; `unknown`, `open_world` and `separation` images of no class.
"""
