"""Where rows come from, and how they become chunks of numbers."""
