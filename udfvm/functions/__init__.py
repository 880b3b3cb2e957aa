"""Declaring functions: scalar and vectorised, table functions, aggregates; in Python, native code
and WebAssembly.
"""
