"""What is measured, each in a process of its own; it prints its figures as one JSON object on its last line."""
