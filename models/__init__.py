"""PyTorch side: networks, data sets, augmentation and training. Knows nothing of the toolchain."""
