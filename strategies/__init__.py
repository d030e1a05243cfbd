"""Strategies of the field, one a file, each readable in two minutes. They see closed bars and may only place orders."""
