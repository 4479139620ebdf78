"""`tidegate execute`: carries out what is commanded. What to do is decided in `actions/docket`; this moves bytes."""
