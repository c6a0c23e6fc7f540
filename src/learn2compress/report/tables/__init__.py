"""What a terminal shows: one file for each thing that is shown."""
