"""Pictures into tensors: against a slow and exact reference, Pillow, and numpy's own way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from spinal.runtime.config.card import CardInput, ImageSpec, Normalisation
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.image import ImageInput
from spinal.runtime.policy.image.kernels import PLAIN, kernels
from spinal.runtime.policy.image.resample import axis, plan

RNG = np.random.default_rng(1)
PICTURE = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)
BOTH = [pytest.param(PLAIN, id="numpy"), pytest.param(None, id="compiled")]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def picture_input(shape, dtype="float32", normalise=None, using=None, **spec):
    tensor = CardInput(
        name="cam",
        stream="camera:wrist",
        shape=(1, *shape),
        dtype=dtype,
        normalise=normalise,
        image=ImageSpec(**spec),
    )
    buffer = np.zeros((1, *shape), dtype)
    return ImageInput(tensor, tensor, buffer, using), buffer


def put(pixels, shape, **options):
    made, buffer = picture_input(shape, **options)
    made.put(pixels)
    return buffer[0]


def slow(pixels, height, width, antialias, box=None):
    """In float64 and by whole matrices, by the definition in ``resample``: [height, width, 3] of 0 to 255."""
    top, left, bottom, right = box or (0, 0, *pixels.shape[:2])
    scale_y, scale_x = (bottom - top) / height, (right - left) / width
    reach_y, reach_x = (max(1.0, s) if antialias else 1.0 for s in (scale_y, scale_x))
    rows = [weights(pixels.shape[0], top + (y + 0.5) * scale_y, reach_y, antialias) for y in range(height)]
    columns = [weights(pixels.shape[1], left + (x + 0.5) * scale_x, reach_x, antialias) for x in range(width)]
    return np.einsum("yi,xj,ijc->yxc", rows, columns, pixels.astype(np.float64), optimize=True)


def weights(size, centre, reach, antialias):
    place = np.arange(size) + 0.5
    if not antialias or reach == 1.0:
        centre = min(max(centre, 0.5), size - 0.5)
    made = np.maximum(0, 1 - np.abs(place - centre) / reach)
    return made / made.sum()


# --- resizing


@pytest.mark.parametrize("using", BOTH)
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", [(10, 14), (48, 30), (48, 64), (60, 100), (7, 64), (1, 1)])
def test_it_is_what_the_definition_says(using, antialias, size):
    made = put(PICTURE, (*size, 3), using=using, layout="hwc", range="0_255", antialias=antialias)
    assert np.abs(made - slow(PICTURE, *size, antialias)).max() < 1e-3


@pytest.mark.parametrize("size", [(24, 32), (17, 23), (96, 128), (48, 9)])
def test_pillow_says_the_same_to_its_rounding(size):
    """Pillow rounds to 8 bit between its two passes."""
    made = put(PICTURE, (*size, 3), layout="hwc", range="0_255", antialias=True)
    theirs = np.asarray(Pillow.fromarray(PICTURE).resize(size[::-1], Pillow.Resampling.BILINEAR))
    assert np.abs(made - theirs).max() <= 1.01


@pytest.mark.parametrize("size", [(24, 24), (20, 50)])
def test_a_crop_is_the_middle_as_pillow_cuts_it(size):
    made = put(PICTURE, (*size, 3), layout="hwc", range="0_255", antialias=True, fit="crop")
    scale = max(size[0] / 48, size[1] / 64)
    high, wide = size[0] / scale, size[1] / scale
    box = ((64 - wide) / 2, (48 - high) / 2, (64 + wide) / 2, (48 + high) / 2)
    theirs = Pillow.fromarray(PICTURE).resize(size[::-1], Pillow.Resampling.BILINEAR, box=box)
    assert np.abs(made - np.asarray(theirs)).max() <= 1.01


@pytest.mark.parametrize("using", BOTH)
def test_a_letterbox_has_black_bars_and_the_whole_picture(using):
    scale = Normalisation(mode="mean_std", mean=MEAN, std=STD)
    made = put(PICTURE, (3, 40, 32), using=using, fit="letterbox", normalise=scale)
    black = -np.array(MEAN) / STD
    assert made[:, :8] == pytest.approx(np.broadcast_to(black[:, None, None], (3, 8, 32)), rel=1e-5)
    assert made[:, 32:] == pytest.approx(np.broadcast_to(black[:, None, None], (3, 8, 32)), rel=1e-5)
    inner = (slow(PICTURE, 24, 32, False) / 255 - MEAN) / STD
    assert made[:, 8:32].transpose(1, 2, 0) == pytest.approx(inner, abs=1e-4)


def test_a_tall_picture_has_its_bars_at_the_sides():
    made = put(PICTURE.transpose(1, 0, 2), (40, 50, 3), layout="hwc", range="0_255", fit="letterbox")
    assert not made[:, :10].any()
    assert not made[:, 40:].any()
    assert made[:, 10:40] == pytest.approx(slow(PICTURE.transpose(1, 0, 2), 40, 30, False), abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["stretch", "letterbox", "crop"]),
    st.booleans(),
)
def test_every_plan_stays_inside_the_picture_and_adds_up(height, width, high, wide, fit, antialias):
    made = plan(height, width, (high, wide), fit, antialias)
    for one, size, at, room in ((made.rows, height, made.top, high), (made.columns, width, made.left, wide)):
        assert one.first.min() >= 0
        assert (one.first + one.weights.shape[1]).max() <= size
        assert one.weights.sum(axis=1) == pytest.approx(1, abs=1e-6)
        assert one.weights.min() >= 0
        assert at >= 0
        assert at + len(one.first) <= room
    if fit != "letterbox":
        assert (len(made.rows.first), len(made.columns.first)) == (high, wide)
    else:
        assert len(made.rows.first) == high or len(made.columns.first) == wide


def test_an_even_picture_stays_even_at_any_size():
    grey = np.full((31, 17, 3), 200, np.uint8)
    for size in ((5, 5), (31, 17), (64, 64)):
        for antialias in (False, True):
            made = put(grey, (*size, 3), layout="hwc", range="0_255", antialias=antialias)
            assert np.abs(made - 200).max() < 1e-3


def test_half_a_picture_without_antialias_is_the_mean_of_two():
    assert axis(8, 4, 0, 8, False).first.tolist() == [0, 2, 4, 6]
    assert (axis(8, 4, 0, 8, False).weights == 0.5).all()
    assert axis(8, 8, 0, 8, False).same
    assert not axis(8, 4, 0, 8, False).same


# --- layout, colours, ranges, types


@pytest.mark.parametrize("using", BOTH)
@pytest.mark.parametrize("size", [(48, 64), (20, 20)])
@pytest.mark.parametrize("colours", ["rgb", "bgr", "grey"])
@pytest.mark.parametrize("layout", ["chw", "hwc"])
@pytest.mark.parametrize(("span", "low", "high"), [("0_1", 0, 1), ("0_255", 0, 255), ("-1_1", -1, 1)])
def test_layout_colours_and_range(using, size, colours, layout, span, low, high):
    depth = 1 if colours == "grey" else 3
    shape = (depth, *size) if layout == "chw" else (*size, depth)
    made = put(PICTURE, shape, using=using, layout=layout, colours=colours, range=span)
    exact = slow(PICTURE, *size, False)
    expected = {
        "rgb": exact,
        "bgr": exact[..., ::-1],
        "grey": exact @ np.array([[0.299], [0.587], [0.114]]),
    }[colours]
    if layout == "chw":
        made = made.transpose(1, 2, 0)
    assert made == pytest.approx(low + expected / 255 * (high - low), abs=2e-5 * (high - low))


@pytest.mark.parametrize("using", BOTH)
@pytest.mark.parametrize("size", [(48, 64), (20, 20)])
def test_normalised_and_clipped(using, size):
    scale = Normalisation(mode="mean_std", mean=MEAN, std=STD, clip=(-1.0, 1.5))
    made = put(PICTURE, (3, *size), using=using, normalise=scale).transpose(1, 2, 0)
    expected = np.clip((slow(PICTURE, *size, False) / 255 - MEAN) / STD, -1, 1.5)
    assert made == pytest.approx(expected, abs=1e-4)
    assert made.min() == -1
    assert made.max() == 1.5


@pytest.mark.parametrize("using", BOTH)
def test_bytes_and_half_floats(using):
    exact = slow(PICTURE, 20, 20, False)
    bytes_ = put(PICTURE, (20, 20, 3), using=using, dtype="uint8", layout="hwc", range="0_255")
    assert np.abs(bytes_.astype(float) - exact).max() <= 0.501
    same = put(PICTURE, (48, 64, 3), using=using, dtype="uint8", layout="hwc", range="0_255")
    assert (same == PICTURE).all()
    half = put(PICTURE, (20, 20, 3), using=using, dtype="float16", layout="hwc")
    assert half.dtype == np.float16
    assert np.abs(half - exact / 255).max() < 1e-3


def test_the_compiled_and_the_numpy_way_agree():
    assert kernels().compiled, "numba is a dependency of the core"
    for spec in ({}, {"fit": "letterbox"}, {"fit": "crop"}, {"antialias": True}):
        one, other = (put(PICTURE, (3, 21, 30), using=using, **spec) for using in (None, PLAIN))
        assert np.abs(one - other).max() < 1e-6


# --- pictures that come


def test_a_camera_may_change_its_size_and_lend_memory_that_is_not_ours():
    made, buffer = picture_input((3, 12, 12), range="0_255")
    for size in ((48, 64), (12, 12), (30, 20), (48, 64)):
        pixels = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
        pixels.flags.writeable = False
        made.put(pixels)
        assert buffer[0].transpose(1, 2, 0) == pytest.approx(slow(pixels, 12, 12, False), abs=1e-3)
    upside_down = PICTURE[::-1]
    made.put(upside_down)
    assert buffer[0].transpose(1, 2, 0) == pytest.approx(slow(upside_down, 12, 12, False), abs=1e-3)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(pixels):
    made, _ = picture_input((3, 12, 12))
    with pytest.raises(PolicyError, match="a picture for input cam is"):
        made.put(pixels)


def test_a_picture_beyond_all_cameras_is_refused():
    made, _ = picture_input((3, 12, 12))
    with pytest.raises(PolicyError, match="has 9000 x 1 pixels"):
        made.put(np.zeros((1, 9000, 3), np.uint8))


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((12,), {}, r"has the shape \[1, 12\]"),
        ((4, 12, 12), {}, "4 channels for rgb, which has 3"),
        ((3, 12, 12), {"colours": "grey"}, "3 channels for grey, which has 1"),
        ((3, 12, 12), {"dtype": "int64"}, "is int64"),
        ((3, 12, 12), {"dtype": "uint8"}, "are not 0 to 255"),
    ],
)
def test_inputs_that_no_picture_fills(shape, options, said):
    with pytest.raises(PolicyError, match=said):
        picture_input(shape, **options)
