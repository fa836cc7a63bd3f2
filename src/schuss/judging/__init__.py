"""What is found out about a finished model: how good, how sure, what moves it, and the ground around it."""
