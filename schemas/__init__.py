"""What travels, and the configuration: typed, frozen, valid once built. Imports nothing else of tidegate."""
