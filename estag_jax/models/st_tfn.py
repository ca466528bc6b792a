"""ST_TFN: the tensor field network of arXiv 1802.08219, run on every frame."""

from __future__ import annotations

import dataclasses

from estag_jax.nn.tensor_field import Convolution, Edges, Features, NormActivation, RadialWeights
from estag_jax.nn.tensor_field_ends import TensorFieldConfig


@dataclasses.dataclass(frozen=True)
class StTfnConfig(TensorFieldConfig):
    """ST_TFN, as ESTAG's authors set it up for the comparison; of the layers the last is the output's.

    L - 1 times (convolution, norm nonlinearity), then a convolution to one vector per channel.

    Differs from the reference: for E(3) in place of SE(3), so that no axial vectors exist; radial
    weights come from the length (as released, where the paper has Gaussians of it) and the edge
    features; activation SiLU. The released program also has matrices as radial weights (an option)
    from a network of their own for each pair of degrees, where ours share one; layer normalisation in
    the radial networks; layer normalisation and a linear map in the nonlinearity; the node scalar
    itself as its one invariant input and a velocity that is zero; no time embedding, and no factor
    on the output.
    """

    radial_weights: RadialWeights = "channel"
    """As for all; the paper has one for each channel, the released program a matrix."""

    @property
    def inner_layers(self) -> int:
        return self.layers - 1

    def layer(self, i: int, features: Features, edges: Edges) -> Features:
        layer = Convolution(self.channels, self.radial_network, name=f"convolution_{i}")
        return NormActivation(self.activation, name=f"activation_{i}")(layer(features, edges))
