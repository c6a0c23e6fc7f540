"""Model files of every kind that can teach: one module a kind, and `kinds` that tells them apart."""
