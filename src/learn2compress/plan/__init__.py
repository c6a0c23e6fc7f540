"""Which members to train, within what time."""
