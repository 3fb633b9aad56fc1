"""Photographs in COCO's format: to score, and composed with cut-out things to learn from."""
