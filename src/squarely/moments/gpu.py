"""The fold of cross-products on a device of PyTorch's: the one page of this room that knows torch, imported by whoever has it.

Rows are decoded where they are and multiplied on the device, in float64: it pays where the products weigh more than the reading,
which is from some hundred columns on.
"""

from __future__ import annotations

import torch

from squarely.data import RowAccount, Source, scan_purpose
from squarely.design import Design, iter_blocks, scaled_blocks
from squarely.moments.cross_products import Fold, fold_products, rows_per_block
from squarely.numerics import Array


def gpu_fold(device: str) -> Fold:
    """Give a fold like `fold_products` whose products are worked out on a device.

    Columns that are held as indicators stay where they are: such designs are folded by `fold_products`.
    """

    @scan_purpose("cross-products")
    def fold(design: Design, source: Source) -> tuple[Array, RowAccount]:
        if len(design.layout.grouped):
            return fold_products(design, source)
        size = len(design.layout.dense) + 1
        total = torch.zeros(size, size, dtype=torch.float64, device=device)
        account = RowAccount()
        for block in iter_blocks(design, source):
            for piece in scaled_blocks(design, block, rows_per_block(design)):
                Z = torch.from_numpy(piece.Z.copy()).to(device)  # the next piece lies where this one lay
                total.addmm_(Z, Z.T)
            account = account + block.account
        return total.cpu().numpy(), account

    return fold
