"""Measures tidegate against plain alternatives: one run, one machine, one table with ratios (`make bench`)."""
