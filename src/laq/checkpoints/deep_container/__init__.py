"""The container of a deeply compressed network."""
