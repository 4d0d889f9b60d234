"""Statistics, tables, hypotheses and verdicts."""
