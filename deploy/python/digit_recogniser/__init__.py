"""Digit recogniser: picture files in, label and probability out.

Read in the order of the data: ``decode`` (bytes to pixels), ``ink`` (pixels to how much ink each holds),
``place`` (ink to a digit placed as MNIST's are), ``model`` (that digit to an answer); ``cli`` and ``serve``
are the two ways to ask. Needs numpy, pillow and onnxruntime, nothing else.
"""
