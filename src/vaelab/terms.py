"""What an objective needs to know of a batch."""

from typing import NamedTuple

from torch import Tensor


class Terms(NamedTuple):
    """Nats per image, for K samples, B images and D latent dimensions."""

    log_px: Tensor  # [K, B]  log p(x | z)
    log_pz: Tensor  # [K, B]  log p(z)
    log_qz: Tensor  # [K, B]  log q(z | x)
    kl: Tensor | None  # [B, D]  KL(q ‖ p) per latent dimension, where it has a closed form (given the levels above)
    z: Tensor  # [K, B, D]  the draws, for estimators that shape their gradient
    levels: Tensor | None = None  # [L, B]  KL per level of a hierarchy, the top level first

    @property
    def log_w(self) -> Tensor:
        """Importance weights log p(x, z) − log q(z | x) [K, B]."""
        return self.log_px + self.log_pz - self.log_qz

    @property
    def rate(self) -> Tensor:
        """KL(q ‖ p) per image [B]: in closed form where there is one, else the mean over the draws."""
        if self.levels is not None:
            return self.levels.sum(0)
        return (self.log_qz - self.log_pz).mean(0) if self.kl is None else self.kl.sum(-1)

    @property
    def by_level(self) -> dict[str, Tensor]:
        """`kl_1`, `kl_2`, …: the KL per image [B] of each level of a hierarchy, the top level first."""
        return {} if self.levels is None else {f"kl_{n}": kl for n, kl in enumerate(self.levels, 1)}
