"""Unattended: what is due, what did not happen, who is told, how many calls there are, and the process."""
