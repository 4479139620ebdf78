"""`tidegate explain`: what was seen, what was expected, where each number came from, and what was decided.

It decides nothing: what it tells stands in the findings, commands and alerts, and in the configuration.
"""
