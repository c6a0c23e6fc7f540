"""The user's model and data: loaded, checked, described; what can't be used is refused early."""
