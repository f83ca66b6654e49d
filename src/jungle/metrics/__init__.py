"""How good predictions are: functions of probabilities and targets, and their sums over devices."""
