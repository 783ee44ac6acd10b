"""The fold of cross-products on a device of PyTorch's: the one page of this room that knows torch, imported by whoever has it.

Rows are decoded where they are and multiplied on the device, in float64: it pays where the products weigh more than the reading,
which is from some hundred columns on.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from squarely.data import RowAccount, Source, scanning
from squarely.design import Design, pieces, rows
from squarely.moments.cross_products import Moments, piece_rows, require_range


def fold_on(device: str) -> Callable[[Design, Source], Moments]:
    """Give a fold like `fold_moments` whose products are worked out on a device.

    Columns that are held as indicators stay where they are: such designs are folded by `fold_moments`.
    """

    @scanning("cross-products")
    def fold(design: Design, source: Source) -> Moments:
        size = len(design.layout.dense) + 1
        total = torch.zeros(size, size, dtype=torch.float64, device=device)
        account = RowAccount()
        for block in rows(design, source):
            for piece in pieces(design, block, piece_rows(design)):
                Z = torch.from_numpy(piece.Z.copy()).to(device)  # the next piece lies where this one lay
                total.addmm_(Z, Z.T)
            account = account + block.account
        gram = total.cpu().numpy()
        require_range(design, source, gram, account.used)
        return Moments(design=design, gram=gram, account=account)

    return fold
