"""Fakeprint: which generator made this image, or is it real?"""

__version__ = "0.1.0"
