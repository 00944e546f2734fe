"""Models fitted anew on some of the train images, or with other labels, by the settings in params.yaml."""

from fakeprint.refits.refit import Refit, Task, refit

__all__ = ["Refit", "Task", "refit"]
