"""What happened outside the account: prices, funding and contract terms, stored as Parquet and laid on one grid of bars."""
