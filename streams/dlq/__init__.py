"""`tidegate dlq`: what is in the dead letters, and sending it again once what kept it from being read is mended."""
