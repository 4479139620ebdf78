"""`tidegate alert`: the process that delivers alerts. What is told to whom, and when, `actions/alerting` decides."""
