"""Foreign and own files -> Graph."""
