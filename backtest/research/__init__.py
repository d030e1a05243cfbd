"""Runs in numbers: one run, and the same strategy under every margin mode side by side."""
