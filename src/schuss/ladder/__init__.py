"""Methods side by side for the same number of seconds, from random search to the race."""
