"""What was paid, and why: the chart of accounts, the one function that changes a balance, and the audit."""
