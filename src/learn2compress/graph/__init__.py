"""Reading Keras graphs: folding, cutting, slicing, counting."""
