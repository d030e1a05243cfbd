"""What is required of an account and what counts for it; each file reads like a page of a rule book."""
