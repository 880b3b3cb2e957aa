"""One call: dispatch, runtime, pools, chunks, windows, host functions, output."""
