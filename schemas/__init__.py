"""What travels, and the configuration: typed, frozen, valid from the moment it is built. Imports nothing of tidegate."""
