"""From a model to a program: build, link, verify."""
