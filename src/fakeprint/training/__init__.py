"""The loop that trains networks."""
