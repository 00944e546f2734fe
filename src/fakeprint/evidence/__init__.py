"""What an image file declares about how it was made. Nothing here touches a model's probabilities.

Each module reads one kind of evidence and returns findings; `inspection` runs them all.
"""
