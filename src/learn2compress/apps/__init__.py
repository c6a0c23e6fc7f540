"""Folders with a member and the code that runs it, for each kind of app."""
