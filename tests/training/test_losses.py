from __future__ import annotations

import pytest
import torch

from evfsam.training.losses import bce_loss, dice_loss, mask_losses
from evfsam.types import MaskLogits
from tests.parity.recipe import case, randn


def test_losses_equal_the_reference():
    expected = case("losses")
    logits, targets = 3 * randn(31, (3, 40, 50)), (randn(32, (3, 40, 50)) > 0).float()
    assert float(dice_loss(logits, targets).mean()) == pytest.approx(float(expected["dice"]), abs=1e-6)
    assert float(bce_loss(logits, targets).mean()) == pytest.approx(float(expected["bce"]), abs=1e-6)


def decoded(logits: torch.Tensor, iou: float, presence: float) -> MaskLogits:
    rows = len(logits)
    return MaskLogits(logits, torch.full((rows,), iou), torch.full((rows,), presence))


def test_the_right_answer_costs_least():
    target = torch.zeros(2, 8, 8)
    target[0, 2:5, 2:5] = 1  # row 1 names nothing that is there
    right = torch.where(target > 0, 20.0, -20.0)
    best = mask_losses(decoded(right, 1.0, 0.0), target)
    assert best["bce"] < 1e-6 and best["dice"] < 1e-6 and best["iou"] == 1
    wrong = mask_losses(decoded(-right, 1.0, 0.0), target)
    assert wrong["loss"] > best["loss"] + 1


def test_without_a_presence_output_a_claim_about_nothing_costs_more_than_its_few_pixels():
    """SAM: one sure cell of an empty target weighs as much as a wrong presence."""
    logits = torch.full((1, 8, 8), -20.0)
    logits[0, 3, 3] = 20.0
    losses = mask_losses(MaskLogits(logits, torch.zeros(1)), torch.zeros(1, 8, 8))
    assert losses["presence"] == pytest.approx(20) and losses["bce"] == pytest.approx(20 / 64)


def test_an_empty_target_pulls_the_mask_down():
    logits = torch.zeros(1, 8, 8, requires_grad=True)
    mask_losses(decoded(logits, 0.5, 0.0), torch.zeros(1, 8, 8))["loss"].backward()
    assert (logits.grad > 0).all()
