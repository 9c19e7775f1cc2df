"""Updates keep their singular vectors, and their singular values become about equal."""

import torch

from vadprobe.extract.demo.captioner.training.muon import Muon, orthogonalised


def test_singular_values_become_about_one() -> None:
    torch.manual_seed(0)
    for shape in ((3, 24, 60), (2, 60, 24)):
        matrices = torch.randn(shape)
        found = orthogonalised(matrices)
        assert found.shape == matrices.shape
        values = torch.linalg.svdvals(found)
        assert float(values.min()) > 0.6
        assert float(values.max()) < 1.3
        left, _, right = torch.linalg.svd(matrices, full_matrices=False)
        rotated = left.mT @ found @ right.mT
        off = rotated - torch.diag_embed(rotated.diagonal(dim1=-2, dim2=-1))
        assert float(off.abs().max()) < 1e-4


def test_it_finds_a_matrix_and_goes_on_from_its_state() -> None:
    torch.manual_seed(0)
    wanted = torch.randn(8, 5)

    def moved(weight: torch.Tensor, optimiser: Muon, steps: int) -> torch.Tensor:
        for _ in range(steps):
            optimiser.zero_grad()
            (weight - wanted).square().sum().backward()
            optimiser.step()
        return weight.detach().clone()

    whole = torch.zeros(8, 5, requires_grad=True)
    end = moved(whole, Muon([whole], lr=0.05), 60)
    assert float((end - wanted).norm()) < 0.5 * float(wanted.norm())
    begun = torch.zeros(8, 5, requires_grad=True)
    first = Muon([begun], lr=0.05)
    moved(begun, first, 30)
    later = begun.detach().clone().requires_grad_()
    second = Muon([later], lr=0.05)
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(moved(later, second, 30), end)
