"""Metrics, intervals, plots, leaderboard and submission. Nothing here imports torch."""
