"""How a column becomes features, one module for each kind of column."""
