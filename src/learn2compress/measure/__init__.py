"""Measurements of a `.tflite` file: what it holds, how right, big and fast it is, how much memory it takes.

Every function takes a path, never a live model, so that what is measured is what ships. Nothing here imports
TensorFlow or Keras; LiteRT is imported when a function needs it.
"""
