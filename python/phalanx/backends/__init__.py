"""phalanx as a backend of other packages."""
