"""The figures of a report, one file each: what they draw is taken from a result's frames, as plotly figures."""
