"""Everything beyond the paper. ``Refinement`` says which steps a checkpoint uses; ``Refiner`` applies them.

Published checkpoints have the default refinement. No function of this package runs for them.
"""
