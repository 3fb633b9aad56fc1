"""Everything that happens to an answer beyond the paper, behind one door: Refinement (what) and Refiner (how).

Published checkpoints have the default refinement, which is the identity: no function of this package runs for them.
"""
