"""Several models together: what they answer, how they are joined, what that is worth."""
