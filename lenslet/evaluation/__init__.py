"""Evaluation of classifiers: arrays in, numbers out."""
