"""One call: pools, chunks, windows, host functions, output."""
