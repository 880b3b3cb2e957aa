"""Declaring functions: scalar and vectorised functions, table functions, aggregates; in Python,
native code and WebAssembly.
"""
