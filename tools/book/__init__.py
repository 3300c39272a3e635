"""Build the book: `python tools/book`."""
