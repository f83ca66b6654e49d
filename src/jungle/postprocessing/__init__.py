"""From a model's probabilities to answers: what was seen, and in which event."""
