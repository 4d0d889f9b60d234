"""Label-aware quantization: the numbers and models behind the workflow's rules.

Modules know arrays, modules and the files they are handed; none imports Snakemake and
none knows where the study keeps its artifacts. Nothing is imported here, so that a job
pays only for the module it uses.
"""
