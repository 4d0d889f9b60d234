"""Files of networks: packed, deeply compressed, and those of others."""
