"""What happened outside the account: prices, funding and contract terms, kept as Parquet, laid on one grid of bars."""
