"""Portfolio margin: one file per venue's model, each a page of its rule book, all asked the same question."""
