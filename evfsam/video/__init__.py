"""Tracking: propagate (one direction, frame by frame), tracker (both directions), bidirectional (in display order)."""
