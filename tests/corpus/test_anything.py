"""Any array, any bytes and any run lengths: an answer in the promised form, or one sentence.

Values have such a test in tests/test_values.py, configs in tests/checkpoints/test_hostile.py, requests in
tests/ui/test_schema.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from evfsam.errors import InputError
from evfsam.media.export import decode_rle, encode_rle
from evfsam.predictor import Predictor
from tests.media.stills import png_with

quick = settings(max_examples=100, deadline=None)
SHAPES = arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6) | st.tuples(
    st.integers(1, 9), st.integers(1, 9), st.integers(1, 5)
)
DTYPES = st.sampled_from([np.uint8, np.uint16, np.float32, bool]) | arrays.scalar_dtypes() | st.just(np.dtype(object))


def tried(call):
    """The result, or None if the call was refused in one sentence."""
    try:
        return call()
    except InputError as error:
        assert "\n" not in str(error) and 10 < len(str(error)) < 300
        return None


@pytest.fixture(scope="module")
def predictor(random_checkpoint):
    return Predictor.from_pretrained(random_checkpoint, device="cpu")


@quick
@given(arrays.arrays(DTYPES, SHAPES) | arrays.arrays(np.float32, (4, 5, 3), elements=st.floats(0, 1, width=32)))
def test_any_array(predictor, array):
    if found := tried(lambda: predictor.segment(array, "the bus")):
        (segmentation,) = found
        assert segmentation.mask_logits.shape == array.shape[:2] and segmentation.mask_logits.dtype == np.float32
        assert np.isfinite(segmentation.mask_logits).all() and 0 <= segmentation.score <= 1


@quick
@given(st.binary(max_size=200), st.integers(0, 60), st.booleans())
def test_any_bytes(predictor, junk, place, in_an_image):
    data = png_with()[:place] + junk + png_with()[place:] if in_an_image else junk
    found = tried(lambda: predictor.segment(data, "the bus"))
    assert found is None or np.isfinite(found[0].mask_logits).all()


SIZES = st.lists(st.integers(-2, 20) | st.integers() | st.floats(), max_size=3) | st.text(max_size=3)
COUNTS = st.text("0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmno", max_size=12) | st.text(max_size=9)


@quick
@given(
    st.fixed_dictionaries({}, optional={"size": SIZES, "counts": COUNTS | st.binary() | st.lists(st.integers())})
    | st.none()
    | st.integers()
)
def test_any_run_lengths(rle):
    mask = tried(lambda: decode_rle(rle))
    assert mask is None or (mask.dtype == bool and encode_rle(mask) == {**rle, "size": list(mask.shape)})


@quick
@given(arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_run_lengths_give_the_mask_back(mask):
    assert np.array_equal(decode_rle(encode_rle(mask)), mask)
