"""The steps of a run that join several stages: planning, the trial of what was planned, and the finish."""
