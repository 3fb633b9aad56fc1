"""Tracking: propagate (one direction), tracker (both directions), bidirectional (both, in display order)."""
