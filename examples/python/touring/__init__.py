"""What runs the programs of the tour: turns, the watchdog, the progress line and the table."""
