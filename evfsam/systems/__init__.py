"""Other text-prompted segmenters, asked like :class:`evfsam.predictor.Predictor`, to compare EVF-SAM with."""
