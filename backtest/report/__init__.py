"""What a run tells: its record, statistics, the parts of its profit, plots and pages."""
