"""The attic: data, augmentation, metrics, training and reports, thin over the engine. Import its modules by name."""
