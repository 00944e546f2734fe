"""Ensembles, which combine the probabilities of several models."""
