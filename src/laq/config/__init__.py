"""The config: schema, defaults, checks, recipes, and which jobs a study has."""
