"""What happens to an account, in order. `advance` is the table of contents."""
