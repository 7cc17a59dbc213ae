"""What is fast, measured: `make bench`, or `python -m benchmarks.run --help`."""
