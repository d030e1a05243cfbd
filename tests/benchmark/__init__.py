"""The project's own benchmark: how fast it lives through a history, beside programs that keep the same account."""
