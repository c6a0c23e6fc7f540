"""LiteRT conversion, metadata and verification."""
