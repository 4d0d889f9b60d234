"""Variants of a trained network: a module with ``make(task)`` for each step of
``laq.config.recipes``.
"""
