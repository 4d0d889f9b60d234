"""Tables, formulas and verdicts of partial training."""
