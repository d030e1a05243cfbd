"""What happened outside the account: prices, funding and contract terms, stored as Parquet, laid on one grid of bars."""
