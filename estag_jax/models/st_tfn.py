"""ST_TFN: the tensor field network of arXiv 1802.08219, run on every frame."""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax

from estag_jax.graph import Graph
from estag_jax.nn.tensor_field import Convolution, NormActivation, RadialWeights, edge_geometry
from estag_jax.nn.tensor_field_ends import Inputs, Outputs, TensorFieldConfig
from estag_jax.ops.geometry import centre


@dataclasses.dataclass(frozen=True)
class StTfnConfig(TensorFieldConfig):
    """ST_TFN, as ESTAG's authors set it up for the comparison; of the layers the last is the output's."""

    radial_weights: RadialWeights = "channel"
    """As for all; the paper has one for each channel, the released program a matrix."""

    def build(self) -> StTfn:
        """The network, without parameters."""
        return StTfn(self)


class StTfn(nn.Module):
    """A tensor field network shared by all frames with a time embedding; frames combined by learned weights.

    L - 1 times (convolution, norm nonlinearity), then a convolution to one vector per channel.

    Differs from the reference: for E(3) in place of SE(3), so that no axial vectors exist; radial
    weights come from the length (as released, where the paper has Gaussians of it) and the edge
    features; activation SiLU. The released program also has matrices as radial weights (an option)
    from a network of their own for each pair of degrees, where ours share one; layer normalisation in
    the radial networks; layer normalisation and a linear map in the nonlinearity; the node scalar
    itself as its one invariant input and a velocity that is zero; no time embedding, and no factor
    on the output.

    Args:
      config: sizes and options.
    """

    config: StTfnConfig = StTfnConfig()

    @nn.compact
    def __call__(self, history: jax.Array, node_features: jax.Array, graph: Graph) -> jax.Array:
        """Returns the predicted frame [B, N, C, 3].

        Args:
          history: past frames, oldest first [B, N, T, C, 3].
          node_features: invariant features [G, N, F].
          graph: the edges, with or without features.
        """
        config, radial = self.config, self.config.radial_network
        origin = centre(history, graph)
        x = history - origin
        edges = edge_geometry(x, graph, config.degree)
        features = Inputs(config.channels[0], config.velocity, name="inputs")(x, node_features)
        for i in range(config.layers - 1):
            layer = Convolution(config.channels, radial, name=f"convolution_{i}")
            activate = NormActivation(config.activation, name=f"activation_{i}")
            features = activate(layer(features, edges))
        z = Outputs(radial, config.head, name="outputs")(features, edges, x)
        return z + origin[:, :, 0]
