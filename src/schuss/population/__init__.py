"""Runs stepping side by side: the weights of sixteen runs lie next to each other, so that one fetch serves all."""
