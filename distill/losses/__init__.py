"""What a student is trained on, one public function a loss: nats of each position, unreduced.

Plain cross entropy is any of them with alpha = 0.
"""

from distill.losses.chunks import in_chunks, part_of
from distill.losses.dense import forward_kl, generalized_jsd, reverse_kl
from distill.losses.sparse import sparse_cross_entropy
from distill.losses.top_k import top_k_cross_entropy

__all__ = [
    "forward_kl",
    "generalized_jsd",
    "in_chunks",
    "part_of",
    "reverse_kl",
    "sparse_cross_entropy",
    "top_k_cross_entropy",
]
