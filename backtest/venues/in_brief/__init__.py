"""Rules of venues and papers that no account of a run is margined by: formulas as they are printed, to compare with."""
