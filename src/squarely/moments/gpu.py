"""Cross-products on a PyTorch device, in float64. Only this file of the package imports torch.

Rows are decoded on the CPU. The device pays off where products cost more than reading: from about a hundred columns on.
"""

from __future__ import annotations

from squarely.data import RowAccount, Source, scan_purpose
from squarely.design import Design, iter_blocks, scaled_blocks
from squarely.moments.cross_products import Fold, fold_products, rows_per_block
from squarely.numerics import Array


def fold_on_device(device: str) -> Fold:
    """Return a fold like `fold_products` that multiplies on a PyTorch device; a design with indicators stays on the CPU."""
    import torch  # which no other fold needs

    @scan_purpose("cross-products")
    def fold(design: Design, source: Source) -> tuple[Array, RowAccount]:
        if len(design.layout.grouped):
            return fold_products(design, source)
        size = len(design.layout.dense) + 1
        total = torch.zeros(size, size, dtype=torch.float64, device=device)
        account = RowAccount()
        for block in iter_blocks(design, source):
            for piece in scaled_blocks(design, block, rows_per_block(design)):
                Z = torch.from_numpy(piece.Z.copy()).to(device)  # copied: the next block overwrites its memory
                total.addmm_(Z, Z.T)
            account = account + block.account
        return total.cpu().numpy(), account

    return fold
