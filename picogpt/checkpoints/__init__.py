"""Models on disk and on the network: every format, read and written."""
